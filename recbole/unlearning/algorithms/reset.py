"""Reset: a baseline that draws the requester's rows anew."""

from collections.abc import Sequence

import torch

from recbole.config import Config
from recbole.data import Dataset
from recbole.data.ids import held
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.algorithm import NoHyperParameters, UnlearningAlgorithm
from recbole.unlearning.case import Case
from recbole.unlearning.outcome import Outcome
from recbole.unlearning.request import Request
from recbole.unlearning.second_order.subspace import trained
from recbole.unlearning.unread import initial_model
from recbole.utils import UserError
from recbole.utils.clock import Clock
from recbole.utils.deadline import Deadline


class Reset(UnlearningAlgorithm):
    """Baseline: all that the model holds of the requester alone gets its initial value, as if nothing was ever learned.

    These are the person's rows of the tables that the model's ``lookups`` index by its ``user_fields``; their values
    are those that a new model of the run's seed has there, which are also those that retraining starts from. Nothing
    is trained afterwards. So the requester's other interests are lost with what was to be forgotten, for good: this
    shows what forgetting costs that forgets the person. What the forgotten interactions left in everybody's rows, of
    the items above all, stays.

    A model without a row of a person, as those of sessions and baskets are, is refused. Rows of items that nobody has
    any more are not looked at: they are nobody's own, and hardly ever asked for.
    """

    name = "reset"
    Hyper = NoHyperParameters

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        new = initial_model(config, model, dataset)
        self.initial = {name: new.get_parameter(name).detach() for name in self.moves(model)}

    def check(self, model: AbstractRecommender) -> None:
        """Refuse a model that holds nothing of a person."""
        if not self.moves(model):
            raise UserError(
                f"reset draws the requester's own rows anew, and {type(model).__name__} has no trained table with a "
                "row for each person"
            )

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return the tables with a row for each person."""
        own, lookups = set(model.user_fields), model.lookups()
        return tuple(name for name in trained(model) if name in lookups and set(lookups[name]) <= own)

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mask the requests' rows, and put the initial values of the people's own rows in place."""
        return self.answer_on_examples(requests, deadline, self._reset)

    def _reset(self, case: Case, clock: Clock) -> Outcome:
        case.check_time("before it began")
        self.bench.rebuild()
        clock.lap("prepare")
        touched = case.change.before[self.dataset.uid_field].cpu().numpy()
        people = torch.from_numpy(case.change.entities[held(case.change.entities, touched)]).to(self.device)
        tables = [(self.model.get_parameter(name).detach(), initial) for name, initial in self.initial.items()]
        change = sum(_square(initial[people] - table[people]) for table, initial in tables) ** 0.5
        size = sum(_square(table[people]) for table, _ in tables) ** 0.5
        clock.lap("solve")
        for table, initial in tables:
            table[people] = initial[people]
        clock.lap("apply")
        if change == 0:
            return Outcome("skipped", "the requester's rows hold their initial values already")
        return Outcome("applied", relative_change=change / max(size, 1e-30), work={"n_rows": len(people) * len(tables)})


def _square(values: torch.Tensor) -> float:
    return float(values.double().square().sum())
