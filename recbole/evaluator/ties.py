"""Tie-breaking: the order of items with equal scores.

Items with exactly equal scores are ordered by a hash of the user's (or session's) token and the item's token. A token
is an id as the data files spell it. So the order depends neither on the batch size nor on the numbering of items.
A shorter list is the beginning of a longer one, and no item comes first for all users.
"""

from collections.abc import Callable

import numpy as np
import torch

from recbole.data import EvalRows
from recbole.utils.keyed import bits, key

Largest = Callable[[torch.Tensor, int], torch.Tensor]
"""A function that returns the column indices of the ``k`` largest values in each row, int64 [rows, k], in any order."""

_STATE = key(0, "equal scores")
_PAIRS_AT_ONCE = {"cpu": 2**17}
"""How many (user, item) pairs are hashed at once on each kind of device: 1 MiB, which fits in a CPU's cache."""

_PAIRS_ON_DEVICE = 2**22
"""How many (user, item) pairs are hashed at once on devices not listed above: 32 MiB for each array of them."""


class Order:
    """The order of items with equal scores, for some rows (rankings).

    Args:
        person: int64 [rows], a hash of the token of each row's user.
        item: int64 [n_items], a hash of each item's token.

    Attributes:
        person: int64 [rows], the argument ``person``, hashed again with a constant key.
        item: int64 [n_items], the argument ``item``.
    """

    def __init__(self, person: torch.Tensor, item: torch.Tensor) -> None:
        self.person, self.item = bits(_STATE, person), item

    @classmethod
    def of(cls, rows: EvalRows | None, chosen: torch.Tensor, start: int, n_items: int) -> "Order":
        """Return the order for some rows of a batch.

        Args:
            rows: the evaluation rows, which contain the tokens; None orders by item ids, in the same way for all rows.
            chosen: int64 [n], indices of the n rows within the batch.
            start: the index of the batch's first row in ``rows``.
            n_items: the number of item ids.
        """
        device, item = chosen.device, np.arange(n_items)
        if rows is None:
            person = np.zeros(len(chosen), dtype=np.int64)
        else:
            person, known = rows.hashes(start + chosen.cpu().numpy())
            item = item if known is None else known
        return cls(torch.from_numpy(person).to(device), torch.from_numpy(item).to(device))

    def rank(self, items: torch.Tensor) -> torch.Tensor:
        """Return a sort key for each item id, both int64 [rows, k]. Of two ties, the larger key comes first."""
        return bits(self.person[:, None], self.item[items])

    def sorted(self, items: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return item ids sorted by score, largest first, and among equal scores by :meth:`rank`: int64 [rows, k].

        Args:
            items: int64 [rows, k] item ids.
            values: float [rows, k], the scores of these items.
        """
        by_order = self.rank(items).argsort(dim=1, descending=True, stable=True)
        by_value = values.gather(1, by_order).argsort(dim=1, descending=True, stable=True)
        return items.gather(1, by_order.gather(1, by_value))

    def first(
        self, scores: torch.Tensor, last: torch.Tensor, k: int, rows: torch.Tensor, largest: Largest
    ) -> torch.Tensor:
        """Return the ``k`` best items of m rows in which the items at ranks ``k`` and ``k + 1`` have the same score.

        Args:
            scores: float [batch, n_items].
            last: float [m], the score at rank ``k`` of each of the m rows.
            k: length of the lists.
            rows: int64 [2, m]: the indices of the m rows in ``scores``, and their indices in :attr:`person`.
            largest: function that finds the k largest values of each row.

        Returns:
            int64 [m, k] item ids, in no particular order.
        """
        at_once = _PAIRS_AT_ONCE.get(scores.device.type, _PAIRS_ON_DEVICE)
        found = []
        for place in torch.arange(len(last), device=scores.device).split(max(at_once // scores.shape[1], 1)):
            some, own = scores[rows[0, place]], last[place, None]
            rank = bits(self.person[rows[1, place], None], self.item)
            rank.masked_fill_(some > own, torch.iinfo(torch.int64).max)
            found.append(largest(rank.masked_fill_(some < own, torch.iinfo(torch.int64).min), k))
        return torch.cat(found)
