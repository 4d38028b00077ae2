"""How well a model recommends, for everybody, those who asked for something to be forgotten, and the others."""

from recbole.evaluator.kinds import Recommender, Reference, Row
from recbole.evaluator.probe import Probe
from recbole.evaluator.settings import EvalSettings
from recbole.evaluator.table import Table
from recbole.evaluator.utility import utility
from recbole.evaluator.views import Views, counted


class Utility(Probe[Views]):
    """The metrics of the settings on the test rows, with the forgotten rows and without them."""

    name = "utility"

    def ask(
        self, model: Recommender, view: Views, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return a row for each view of the data, population, metric and list length."""
        table = Table(checkpoint=view.checkpoint, split="test", masking="retained")
        for name, rows in view.utility.items():
            populations = dict(view.populations(rows))
            for population, values in utility(model, rows, settings).means(populations).items():
                counts = counted(rows, populations[population])
                for (metric, k), value in values.items():
                    table.add(metric, value, k, view=name, population=population, **counts)
        return table.rows
