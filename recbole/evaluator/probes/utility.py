"""Recommendation quality for all users, for the requesting users, and for the others."""

from recbole.evaluator.averages import add_answers
from recbole.evaluator.kinds import Recommender, Reference, Row
from recbole.evaluator.probe import Probe
from recbole.evaluator.settings import EvalSettings
from recbole.evaluator.table import Table
from recbole.evaluator.utility import utility
from recbole.evaluator.views import Views


class Utility(Probe[Views]):
    """The configured metrics (such as NDCG) on the test data, in up to two variants (views) of the data.

    In the view ``all`` nothing has been forgotten. In the view ``current`` the forgotten interactions are left out of
    the inputs, the histories and the relevant items.
    """

    name = "utility"

    def ask(
        self, model: Recommender, view: Views, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return one row per view, group of users, metric and list length; arguments: see :meth:`Probe.ask`.

        With a reference, further rows contain the mean differences "model minus reference".
        """
        found: list[Row] = []
        order = [metric.name.lower() for metric in settings.metrics]
        for name, rows in view.utility.items():
            table = Table(checkpoint=view.checkpoint, split="test", masking="retained", view=name)
            populations = dict(view.populations(rows))
            answers, others = utility(model, rows, settings), None
            if reference is not None:
                others = utility(reference.model, rows, settings), reference
            add_answers(table, answers, rows, populations, others)
            place = {population: at for at, population in enumerate(populations)}
            found += sorted(
                table.rows,
                key=lambda row: (row["minus"] is not None, place[row["population"]], order.index(row["metric"])),
            )
        return found
