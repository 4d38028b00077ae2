"""Reset: a baseline that sets the requesting user's embeddings back to their initial values."""

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
    """Baseline: the parameters that belong only to the requesting user are set back to their initial values.

    These are the user's rows in the tables that the model looks up by user ids only. The initial values (``initial``,
    by parameter name) are those from which retraining with the run's seed starts too. Nothing is trained afterwards.
    What the model learned from the user's retained interactions is lost as well: this baseline shows the cost of
    forgetting a whole user. The influence of the forgotten interactions on shared parameters, above all on item
    embeddings, remains.

    Models without a table row per user, such as session and basket models, are refused. Rows of items without any
    retained interaction are not reset: they belong to no user, and are hardly ever recommended.
    """

    name = "reset"
    Hyper = NoHyperParameters

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        new = initial_model(config, model, dataset)
        self.initial = {name: new.get_parameter(name).detach() for name in self.moves(model)}

    def check(self, model: AbstractRecommender) -> None:
        """Refuse a model without a table row per user.

        Raises:
            UserError: the model has no trained table that is looked up by user ids only.
        """
        if not self.moves(model):
            raise UserError(
                f"reset sets the requesting user's own rows to initial values, and {type(model).__name__} has no "
                "trained table with a row for each user; choose another --unlearning_algorithm or --model"
            )

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return the names of the trained tables that the model looks up by user ids only."""
        own, lookups = set(model.user_fields), model.lookups()
        return tuple(name for name in trained(model) if name in lookups and set(lookups[name]) <= own)

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mark the requests' interactions as forgotten, and set the users' own table rows to their initial values.

        The outcome is ``applied``, ``skipped`` (no parameter changes) or ``timeout`` (no time for any change).
        """
        return self.answer_on_examples(requests, deadline, self._reset)

    def _reset(self, case: Case, clock: Clock) -> Outcome:
        """Rebuild the model on the retained data, and reset the rows of users whose training examples change.

        The ``relative_change`` of the outcome is the norm of the change, divided by the norm of these rows before.

        Args:
            case: the requests, and the training examples that contained a forgotten interaction.
            clock: measures the time of each phase.

        Raises:
            NotApplied: the time is up.
        """
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
            return Outcome("skipped", "the user's rows already have their initial values")
        return Outcome("applied", relative_change=change / max(size, 1e-30), work={"n_rows": len(people) * len(tables)})


def _square(values: torch.Tensor) -> float:
    """Return the sum of squares of all elements, computed in double precision."""
    return float(values.double().square().sum())
