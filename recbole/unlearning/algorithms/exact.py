"""Exact deletion, from models that are a function of the data in closed form."""

from collections.abc import Sequence
from typing import Any

import torch

from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.algorithm import NoHyperParameters, UnlearningAlgorithm
from recbole.unlearning.case import Case
from recbole.unlearning.outcome import Outcome
from recbole.unlearning.request import Request
from recbole.utils import UserError
from recbole.utils.clock import Clock
from recbole.utils.deadline import Deadline


class Exact(UnlearningAlgorithm):
    """The model is brought to what it would have been without the forgotten rows: counted, or solved, anew.

    For models that declare :meth:`~recbole.model.abstract_recommender.AbstractRecommender.learned`. Popularity and
    frequencies are counted again, neighbourhoods where a count changed (ItemKNN), and EASE's inverse loses a few ranks
    by the identity of Woodbury. What is left of the forgotten rows is nothing but rounding, for a fraction of the cost
    of fitting. Checkpoints carry what the deletions left, where it is not counted anew at each request, and so do the
    snapshots of a run: EASE's ``n_items``^2 numbers are written at each, for a killed run to end with the same bits.

    The time budget is not enforced: a request takes milliseconds, and a partial deletion would be invalid.
    """

    name = "exact"
    Hyper = NoHyperParameters

    def check(self, model: AbstractRecommender) -> None:
        """Refuse a model that is not a function of the data in closed form."""
        if model.learned() is None:
            raise UserError(
                f"exact deletes from models that are a function of the data in closed form, and {type(model).__name__} "
                "is none: it is trained, or knows nothing of the data"
            )

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return no parameter: what changes is what the model derives from the data."""
        return ()

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mask the requests' rows, delete what the model knew of them, and measure by how much that changed it."""
        return self.answer_on_examples(requests, deadline, self._delete)

    def _delete(self, case: Case, clock: Clock) -> Outcome:
        before = self._learned()
        self.bench.rebuild()
        after = self._learned()
        clock.lap("solve")
        change = sum(_square(new - old) for new, old in zip(after, before, strict=True)) ** 0.5
        size = sum(_square(array) for array in before) ** 0.5
        clock.lap("apply")
        if change == 0:
            return Outcome("skipped", "the deletion changes nothing that the model knows")
        return Outcome("applied", relative_change=change / max(size, 1e-30))

    def _learned(self) -> Sequence[Any]:
        """Return what the model knows, tensors or SciPy arrays; :meth:`check` has seen that there is some."""
        return self.model.learned() or ()


def _square(array: Any) -> float:
    """Return the sum of squares of a tensor or of a SciPy array."""
    values = array if isinstance(array, torch.Tensor) else torch.from_numpy(array.data)
    return float(torch.linalg.vector_norm(values.double())) ** 2
