"""Filter: a baseline that hides what was to be forgotten, and forgets nothing."""

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
    """Baseline: forgotten items are never recommended to the person again, and the model knows them as before.

    The trap of every measure that looks at lists alone. No parameter changes; the model keeps the (person, item) pairs
    that were asked for, saved in its checkpoints' ``other_parameter``, and the evaluator takes these items out of that
    person's candidates as it does with history: they score minus infinity. So the exposure of forgotten items is zero
    and their rank the last. Their log-odds, the logarithm of nothing, are null in the result table. Whoever looks into
    the model, at its ``logits``, its representations or its parameters, finds it unchanged but for what is rebuilt
    from the data (a graph, as in every other algorithm).

    Of a request all rows are hidden, those held out for validation and test too. A request is ``applied`` when pairs
    were added, with a relative change of 0; one without a training example is ``skipped`` as everywhere, though its
    pairs are hidden all the same. None is cut off by the budget, of which it would use milliseconds.

    Sessions are refused: a session has ended when it asks, nobody comes back under its name, and to hide an item from
    everybody who goes on with the same items would be another method. Models that are fitted are refused, since they
    know what their data hold at each loading: hidden or not, what was forgotten is deleted exactly.
    """

    name = "filter"
    Hyper = NoHyperParameters

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        model.hidden_pairs = self._hidden()

    @classmethod
    def check_class(cls, model_class: type[AbstractRecommender]) -> None:
        """Refuse models of sessions."""
        if model_class.type is ModelType.SEQUENTIAL:
            raise UserError(
                f"filter hides items from a person who comes back, and {model_class.__name__} recommends to sessions, "
                "which have ended"
            )

    def check(self, model: AbstractRecommender) -> None:
        """Refuse models that are fitted."""
        if not model.trainable:
            raise UserError(
                f"filter hides what a trained model keeps, and {type(model).__name__} is fitted anew to what is "
                "retained; --unlearning_algorithm exact deletes from models that are fitted"
            )

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return no parameter."""
        return ()

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mask the requests' rows, and hide their pairs."""
        outcome = self.answer_on_examples(requests, deadline, self._rebuilt)
        n_new = self._hide(np.concatenate([request.rows for request in requests]))
        if outcome.status == "applied":
            outcome.work["n_hidden"] = n_new
            if not n_new:
                outcome.status, outcome.reason = "skipped", "the pairs are hidden already"
        return outcome

    def _hidden(self) -> torch.Tensor:
        """Return the pairs that the model hides so far, int64 [n, 2]."""
        pairs = self.model.hidden_pairs
        return torch.zeros(0, 2, dtype=torch.int64) if pairs is None else pairs

    def _rebuilt(self, case: Case, clock: Clock) -> Outcome:
        self.bench.rebuild()
        clock.lap("prepare")
        return Outcome("applied")

    def _hide(self, rows: np.ndarray) -> int:
        """Add the pairs of log rows (int64) to those that the model hides, and return how many are new."""
        log, n_items = self.dataset.log, self.dataset.n_items
        before = self._hidden().cpu().numpy()
        keys = distinct(
            np.concatenate([before[:, 0] * n_items + before[:, 1], log.user[rows] * n_items + log.item[rows]])
        )
        self.model.hidden_pairs = torch.from_numpy(np.stack([keys // n_items, keys % n_items], axis=1))
        return len(keys) - len(before)
