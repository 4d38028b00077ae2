"""Sampled evaluation: a relevant item is ranked against drawn items, not the whole catalogue (RecBole's uniN, popN).

The draws are keyed by the tokens of the user and the relevant item. They are a property of the data: the same for every
model, seed and mask, and forgetting one user's interactions does not change another user's draws.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from recbole.data.ids import held
from recbole.utils import UserError
from recbole.utils.keyed import bits, key, uniform

if TYPE_CHECKING:
    from recbole.data.dataset import Dataset
    from recbole.data.questions import EvalRows

_AT_ONCE = 2**18
"""Number of items drawn at a time; each step of the hash then takes 2 MiB of int64."""

_MODE = re.compile(r"(uni|pop)([1-9]\d*)")


@dataclass(frozen=True, eq=False)
class Sampled:
    """Draws a fixed number of irrelevant items for each relevant item.

    Attributes:
        split: ``"valid"`` or ``"test"``; the two have different draws.
        count: number of items drawn, with replacement, for each relevant item.
        cumulated: float64 [n_items], the cumulative sum of the items' weights by id, beginning with the padding, whose
            weight is 0; None for uniform draws.
        n_items: number of item ids, including the padding.
    """

    split: str
    count: int
    cumulated: np.ndarray | None
    n_items: int

    @classmethod
    def of(cls, dataset: Dataset, split: str) -> Sampled | None:
        """Return the sampler for the evaluation mode of a split (``eval_args``); None if the mode draws no items.

        Popularity is the number of interactions in all splits, as in RecBole, without the rows that a scenario
        injected. Forgotten interactions still count, so that the candidates of other users stay the same.
        """
        drawn = _MODE.fullmatch(dataset.config["eval_args"]["mode"][split])
        if drawn is None:
            return None
        cumulated, n_items = None, dataset.n_items
        if drawn[1] == "pop":
            log = (dataset.clean or dataset).log
            cumulated = np.cumsum(np.bincount(log.item, minlength=n_items).astype(np.float64))
        return cls(split, int(drawn[2]), cumulated, n_items)

    def draw(self, rows: EvalRows, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the items that the relevant items of some rows are ranked against.

        None of them is relevant to its row or in the row's history. Each relevant item gets :attr:`count` of them.

        Args:
            rows: the evaluation rows.
            start: index of the first row to draw for.
            stop: index after the last row to draw for.

        Returns:
            Two int64 arrays [relevant items * count] ordered by row: the row of each drawn item, counted from
            ``start``, and the item's id.

        Raises:
            UserError: a row has no item left to draw.
        """
        chosen = np.arange(start, stop)
        right, history = rows.positives.take(chosen), rows.history.take(chosen)
        row = np.repeat(chosen - start, right.sizes())
        past = np.repeat(chosen - start, history.sizes())
        used = np.sort(np.concatenate([row * self.n_items + right.values, past * self.n_items + history.values]))
        self._refuse_full(used)
        user, item = rows.hashes(chosen)
        item = np.arange(self.n_items) if item is None else item
        state = bits(bits(key(0, "candidates", self.split), _tensor(user[row])), _tensor(item[right.values]))
        found = np.empty((len(row), self.count), dtype=np.int64)
        step = max(_AT_ONCE // self.count, 1)
        for at in range(0, len(row), step):
            some = slice(at, at + step)
            found[some] = self._drawn(state[some], row[some] * self.n_items, used)
        return np.repeat(row, self.count), found.ravel()

    def _drawn(self, state: torch.Tensor, base: np.ndarray, used: np.ndarray) -> np.ndarray:
        """Return the items drawn for some relevant items, int64 [n, count]; draws of used items are repeated.

        A pair's key is the index of its row times ``n_items``, plus the item's id.

        Args:
            state: int64 [n], the hash state that keys the random numbers of each relevant item.
            base: int64 [n], the key of each relevant item's row with item 0.
            used: int64, ascending keys of the (row, item) pairs that must not be drawn.
        """
        copies = torch.arange(self.count, device="cpu")
        items = self._proposed(uniform(state[:, None], copies, 0))
        of, copy = np.nonzero(held(base[:, None] + items, used))
        attempt = 1
        while len(of):
            items[of, copy] = self._proposed(uniform(state[_tensor(of)], _tensor(copy), attempt))
            again = held(base[of] + items[of, copy], used)
            of, copy, attempt = of[again], copy[again], attempt + 1
        return items

    def _proposed(self, drawn: torch.Tensor) -> np.ndarray:
        """Return the item ids that belong to uniform numbers from [0, 1), int64 of the same shape."""
        numbers = drawn.numpy()
        if self.cumulated is None:
            return 1 + (numbers * (self.n_items - 1)).astype(np.int64)
        return np.searchsorted(self.cumulated, numbers * self.cumulated[-1], side="right")

    def _refuse_full(self, used: np.ndarray) -> None:
        """Raise a UserError if a row has no item left to draw, because drawing would never end."""
        distinct = used[np.concatenate([[True], used[1:] != used[:-1]])] if len(used) else used
        there, possible = distinct % self.n_items, self.n_items - 1
        if self.cumulated is not None:
            weighted = np.diff(self.cumulated, prepend=0.0) > 0
            distinct, possible = distinct[weighted[there]], int(weighted.sum())
        most = int(np.bincount(distinct // self.n_items).max(initial=0))
        if most >= possible:
            raise UserError(
                f"eval_args mode of {self.split}: a user has interacted with every item, so none is left to compare "
                "with; leave such users out by user_inter_num_interval"
            )


def _tensor(numbers: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers))
