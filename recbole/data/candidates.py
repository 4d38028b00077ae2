"""Wrong items that a right one is ranked against, drawn instead of the whole catalogue: RecBole's uniN and popN.

What is drawn is keyed by the tokens of person and right item and by nothing else: it is a property of the data, the
same for every model, seed and mask, and nobody else's change with what is forgotten.
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
"""How many items are drawn at a time: 2 MiB of int64 for each step of the hash."""

_MODE = re.compile(r"(uni|pop)([1-9]\d*)")


@dataclass(frozen=True, eq=False)
class Sampled:
    """So many wrong items for each right one.

    Attributes:
        split: ``"valid"`` or ``"test"``; each has draws of its own.
        count: how many for each right item, drawn with replacement.
        cumulated: float64 [n_items], the items' weights added up, padding first with none; None draws evenly.
        n_items: the number of ids, padding included.
    """

    split: str
    count: int
    cumulated: np.ndarray | None
    n_items: int

    @classmethod
    def of(cls, dataset: Dataset, split: str) -> Sampled | None:
        """Return what the mode of a split (``eval_args``) asks for; None where nothing is drawn.

        Popularity is the number of interactions in all splits, as in RecBole, those that a scenario planted left out;
        what is forgotten later counts on, so that everybody else's questions stay as they are.
        """
        asked = _MODE.fullmatch(dataset.config["eval_args"]["mode"][split])
        if asked is None:
            return None
        cumulated, n_items = None, dataset.n_items
        if asked[1] == "pop":
            log = (dataset.clean or dataset).log
            cumulated = np.cumsum(np.bincount(log.item, minlength=n_items).astype(np.float64))
        return cls(split, int(asked[2]), cumulated, n_items)

    def draw(self, rows: EvalRows, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the items that some rows are compared with, one row after another.

        None of them is right or in the row's history; each right item of a row has :attr:`count` of them.

        Args:
            rows: of which the chosen ones are some.
            start: the first one.
            stop: the one behind the last.

        Returns:
            The row of each, from 0 for ``start``, and the item: int64 [right items x count] each.

        Raises:
            UserError: when a row leaves no item to draw.
        """
        chosen = np.arange(start, stop)
        right, history = rows.positives.take(chosen), rows.history.take(chosen)
        row = np.repeat(chosen - start, right.sizes())
        past = np.repeat(chosen - start, history.sizes())
        used = np.sort(np.concatenate([row * self.n_items + right.values, past * self.n_items + history.values]))
        self._refuse_full(used)
        person, item = rows.hashes(chosen)
        item = np.arange(self.n_items) if item is None else item
        state = bits(bits(key(0, "candidates", self.split), _tensor(person[row])), _tensor(item[right.values]))
        found = np.empty((len(row), self.count), dtype=np.int64)
        step = max(_AT_ONCE // self.count, 1)
        for at in range(0, len(row), step):
            some = slice(at, at + step)
            found[some] = self._drawn(state[some], row[some] * self.n_items, used)
        return np.repeat(row, self.count), found.ravel()

    def _drawn(self, state: torch.Tensor, base: np.ndarray, used: np.ndarray) -> np.ndarray:
        """Return the draws of some right items, int64 [n, count]; what is used is drawn again, and only that.

        Args:
            state: int64 [n], the state of each right item's random numbers.
            base: int64 [n], what an item's id is added to for its key among the used ones.
            used: int64, the keys of what is not to be drawn, ascending.
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
        """Return the items that numbers from [0, 1) mean, int64 of their shape."""
        numbers = drawn.numpy()
        if self.cumulated is None:
            return 1 + (numbers * (self.n_items - 1)).astype(np.int64)
        return np.searchsorted(self.cumulated, numbers * self.cumulated[-1], side="right")

    def _refuse_full(self, used: np.ndarray) -> None:
        """Refuse to draw for ever."""
        distinct = used[np.concatenate([[True], used[1:] != used[:-1]])] if len(used) else used
        there, possible = distinct % self.n_items, self.n_items - 1
        if self.cumulated is not None:
            weighted = np.diff(self.cumulated, prepend=0.0) > 0
            distinct, possible = distinct[weighted[there]], int(weighted.sum())
        most = int(np.bincount(distinct // self.n_items).max(initial=0))
        if most >= possible:
            raise UserError(
                f"eval_args mode of {self.split}: somebody has every item, so that there is none to compare with; "
                "leave such people out by user_inter_num_interval"
            )


def _tensor(numbers: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers))
