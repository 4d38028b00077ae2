"""Filter: a baseline that leaves forgotten items out of recommendation lists without changing the model."""

from collections.abc import Sequence

import numpy as np
import torch

from recbole.config import Config
from recbole.data import Dataset
from recbole.data.ids import distinct
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.algorithm import NoHyperParameters, UnlearningAlgorithm
from recbole.unlearning.case import Case
from recbole.unlearning.outcome import Outcome
from recbole.unlearning.request import Request
from recbole.utils import ModelType, UserError
from recbole.utils.clock import Clock
from recbole.utils.deadline import Deadline


class Filter(UnlearningAlgorithm):
    """Baseline: forgotten items are never recommended to the user again, but the model does not change.

    It shows what metrics of recommendation lists alone cannot detect. No parameter changes. The (user, item) pairs to
    hide are stored with the model, in ``other_parameter`` of its checkpoints. The evaluator gives these items a score
    of minus infinity, as it does with the items of the user's history. The exposure of forgotten items is therefore
    zero, and they have the last rank. Their log-odds would be the logarithm of zero, and are null in the result table.
    The model's parameters, logits and representations do not change, except for what every algorithm recomputes from
    the retained data (such as a graph).

    All interactions of a request are hidden, including those held out for validation and test. A request is ``applied``
    if it adds pairs; its relative change is 0. A request without a training example is ``skipped``, as with other
    algorithms, although its pairs are hidden too. The time budget does not apply, because a request takes milliseconds.

    Session models are refused: a session has ended when it requests deletion, and gets no further recommendations.
    Hiding an item from all sessions that continue with the same items would be another method. Models in closed form
    are refused because they are computed from the retained data, so that forgotten interactions are deleted exactly
    anyway.
    """

    name = "filter"
    Hyper = NoHyperParameters

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        model.hidden_pairs = self._hidden()

    @classmethod
    def check_class(cls, model_class: type[AbstractRecommender]) -> None:
        """Refuse session models.

        Raises:
            UserError: the class is a session model.
        """
        if model_class.type is ModelType.SEQUENTIAL:
            raise UserError(
                f"filter hides items from users who return, and {model_class.__name__} recommends to sessions, "
                "which do not; choose another --unlearning_algorithm"
            )

    def check(self, model: AbstractRecommender) -> None:
        """Refuse models that are computed from the data in closed form, instead of trained by gradient descent.

        Raises:
            UserError: the model is in closed form.
        """
        if not model.trainable:
            raise UserError(
                f"filter hides what a trained model remembers, and {type(model).__name__} is fitted anew to the "
                "retained data; use --unlearning_algorithm exact for models in closed form"
            )

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return an empty tuple: no parameter changes."""
        return ()

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mark the requests' interactions as forgotten, and never recommend their items to their users again.

        Args:
            requests: the requests, which are answered together.
            deadline: not used.

        Returns:
            The outcome. If it is ``applied``, ``n_hidden`` in its ``work`` is the number of newly hidden pairs.
        """
        outcome = self.answer_on_examples(requests, deadline, self._rebuilt)
        n_new = self._hide(np.concatenate([request.rows for request in requests]))
        if outcome.status == "applied":
            outcome.work["n_hidden"] = n_new
            if not n_new:
                outcome.status, outcome.reason = "skipped", "the pairs are already hidden"
        return outcome

    def _hidden(self) -> torch.Tensor:
        """Return the (user, item) id pairs that are hidden so far, int64 [n, 2]."""
        pairs = self.model.hidden_pairs
        return torch.zeros(0, 2, dtype=torch.int64) if pairs is None else pairs

    def _rebuilt(self, case: Case, clock: Clock) -> Outcome:
        """Recompute what the model derives from the retained data, such as its graph; no parameter changes."""
        self.bench.rebuild()
        clock.lap("prepare")
        return Outcome("applied")

    def _hide(self, rows: np.ndarray) -> int:
        """Add the (user, item) pairs of some log rows to the hidden pairs; return how many of them are new.

        Args:
            rows: int64, indices of the log rows.
        """
        log, n_items = self.dataset.log, self.dataset.n_items
        before = self._hidden().cpu().numpy()
        keys = distinct(
            np.concatenate([before[:, 0] * n_items + before[:, 1], log.user[rows] * n_items + log.item[rows]])
        )
        self.model.hidden_pairs = torch.from_numpy(np.stack([keys // n_items, keys % n_items], axis=1))
        return len(keys) - len(before)
