"""Exact deletion from models that are a closed-form function of the data."""

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
    """Exact deletion: recomputes or updates a closed-form model to what it would be without the forgotten interactions.

    It applies to models that implement :meth:`~recbole.model.abstract_recommender.AbstractRecommender.learned`.
    Popularity and frequencies are counted again, ItemKNN's neighbourhoods are computed again where a count changed, and
    EASE's inverse gets a low-rank update by the Woodbury identity. Apart from rounding, nothing remains of the
    forgotten interactions, at a fraction of the cost of fitting the model again.

    An array that is updated instead of counted again, such as EASE's inverse with ``n_items``^2 numbers, is stored in
    every checkpoint and every snapshot of the run, so that an interrupted run ends with bit-identical results.

    The time budget does not apply: a request takes milliseconds, and a partial deletion would be invalid.
    """

    name = "exact"
    Hyper = NoHyperParameters

    def check(self, model: AbstractRecommender) -> None:
        """Refuse a model that is not a closed-form function of the data.

        Raises:
            UserError: the model is trained by gradient descent, or learns nothing from the data.
        """
        if model.learned() is None:
            raise UserError(
                "exact applies only to models that are computed from the data in closed form, and "
                f"{type(model).__name__} is none: it is trained by gradient descent, or learns nothing from the data"
            )

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return an empty tuple: no parameter changes, only the arrays that the model computes from the data."""
        return ()

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mark the requests' interactions as forgotten, update the model, and measure its relative change.

        Args:
            requests: the requests, which are answered together.
            deadline: not used.

        Returns:
            The outcome: ``applied``, or ``skipped`` if the model does not change.
        """
        return self.answer_on_examples(requests, deadline, self._delete)

    def _delete(self, case: Case, clock: Clock) -> Outcome:
        """Update the model to the retained data.

        Args:
            case: the requests; not read.
            clock: measures the time of each phase.

        Returns:
            The outcome. Its ``relative_change`` is the norm of the change of the model's arrays, divided by their norm.
        """
        before = self._learned()
        self.bench.rebuild()
        after = self._learned()
        clock.lap("solve")
        change = sum(_square(new - old) for new, old in zip(after, before, strict=True)) ** 0.5
        size = sum(_square(array) for array in before) ** 0.5
        clock.lap("apply")
        if change == 0:
            return Outcome("skipped", "the deletion does not change the model")
        return Outcome("applied", relative_change=change / max(size, 1e-30))

    def _learned(self) -> Sequence[Any]:
        """Return the arrays that the model computed from the data, as tensors or SciPy arrays."""
        return self.model.learned() or ()


def _square(array: Any) -> float:
    """Return the sum of squares of all elements of a tensor or a SciPy array."""
    values = array if isinstance(array, torch.Tensor) else torch.from_numpy(array.data)
    return float(torch.linalg.vector_norm(values.double())) ** 2
