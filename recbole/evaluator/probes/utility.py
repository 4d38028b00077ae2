"""How well a model recommends, for everybody, those who asked for something to be forgotten, and the others."""

from recbole.evaluator.averages import add_means
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
        """Return a row for each view of the data, population, metric and list length, and for the difference."""
        table = Table(checkpoint=view.checkpoint, split="test", masking="retained")
        for name, rows in view.utility.items():
            populations = dict(view.populations(rows))
            answers = utility(model, rows, settings)
            others = utility(reference[0], rows, settings).per_row() if reference is not None else None
            about = {"view": name, "n_skipped": rows.n_skipped}
            add_means(table, answers.per_row(), rows.entity, populations, others, **about)
            for population, values in answers.of_lists(populations).items():
                counts = counted(rows, populations[population])
                for (metric, k), value in values.items():
                    table.add(metric, value, k, view=name, population=population, **counts)
        return table.rows
