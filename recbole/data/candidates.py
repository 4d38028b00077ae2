"""Sampled evaluation: a relevant item is ranked against N drawn items, not the whole catalogue (RecBole's uniN, popN).

The random numbers are keyed by the tokens of the user and the relevant item. The drawn items are therefore the same for
every model, seed and mask, and forgetting one user's interactions does not change those of another user.
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
    """Draws a fixed number of irrelevant items for each relevant item of an evaluation (modes uniN and popN).

    Attributes:
        split: ``"valid"`` or ``"test"``; the two use different random numbers.
        count: number N of items drawn, with replacement, for each relevant item.
        cumulated: float64 [n_items], the cumulative sum of the items' weights in the order of ids; the padding (id 0)
            has weight 0. None for uniform draws.
        n_items: number of item ids, including the padding.
    """

    split: str
    count: int
    cumulated: np.ndarray | None
    n_items: int

    @classmethod
    def of(cls, dataset: Dataset, split: str) -> Sampled | None:
        """Return the sampler for the evaluation mode of a split (``eval_args``); None if the mode draws no items.

        In the modes popN an item's weight is its number of interactions in all splits, as in RecBole. Rows that a
        spam attack injected do not count. Forgotten rows do, so that the candidates of other users stay the same.
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
        """Draw the items against which the relevant items of some evaluation rows are ranked.

        Each relevant item gets :attr:`count` of them. A drawn item is never relevant to its row or in its history.

        Args:
            rows: the evaluation rows.
            start: index of the first row to draw for.
            stop: index after the last row to draw for.

        Returns:
            Two int64 arrays [relevant items * count] ordered by row: the row of each drawn item, counted from
            ``start``, and the item's id.

        Raises:
            UserError: all items that could be drawn are relevant to a row or in its history.
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
        """Return the items drawn for some relevant items, int64 [n, count]; a draw that is not allowed is repeated.

        A (row, item) pair is written as the integer ``row * n_items + item``.

        Args:
            state: int64 [n], the hash state that keys the random numbers of each relevant item.
            base: int64 [n], ``row * n_items`` for the row of each relevant item.
            used: int64, ascending, the (row, item) pairs that must not be drawn: relevant items and histories.
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
        """Return the item ids (int64) that uniform random numbers from [0, 1) select, in the same shape."""
        numbers = drawn.numpy()
        if self.cumulated is None:
            return 1 + (numbers * (self.n_items - 1)).astype(np.int64)
        return np.searchsorted(self.cumulated, numbers * self.cumulated[-1], side="right")

    def _refuse_full(self, used: np.ndarray) -> None:
        """Raise a UserError if a row has no item left to draw, because drawing would never end.

        ``used`` has the (row, item) pairs that must not be drawn, as in :meth:`_drawn`.
        """
        distinct = used[np.concatenate([[True], used[1:] != used[:-1]])] if len(used) else used
        there, possible = distinct % self.n_items, self.n_items - 1
        if self.cumulated is not None:
            weighted = np.diff(self.cumulated, prepend=0.0) > 0
            distinct, possible = distinct[weighted[there]], int(weighted.sum())
        most = int(np.bincount(distinct // self.n_items).max(initial=0))
        if most >= possible:
            raise UserError(
                f"eval_args mode of {self.split}: a user has interacted with every item, so no candidate can be drawn; "
                "leave such users out with user_inter_num_interval"
            )


def _tensor(numbers: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers))
