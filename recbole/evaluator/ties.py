"""Equal scores: in which order their items stand.

Bit-equal scores are ordered by a hash of the person's (or session's) token and the item's. So a list is the beginning
of every longer one, whatever the size of batches and the numbering of items, and no item is preferred for all people.
"""

from collections.abc import Callable

import numpy as np
import torch

from recbole.data import EvalRows
from recbole.utils.keyed import bits, key

Largest = Callable[[torch.Tensor, int], torch.Tensor]
"""Returns where the ``k`` largest of each row are, int64 [rows, k], in no order."""

_STATE = key(0, "equal scores")
_PAIRS_AT_ONCE = {"cpu": 2**17}
"""So many pairs of a person and an item are hashed at a time, by kind of device: 1 MiB, which caches hold."""

_PAIRS_ON_DEVICE = 2**22
"""How many on any other kind of device: 32 MiB each time that they are held."""


class Order:
    """The order of equally scored items for some rows.

    Args:
        person: int64 [rows], bits of whom each row belongs to.
        item: int64 [n_items], bits of each item.
    """

    def __init__(self, person: torch.Tensor, item: torch.Tensor) -> None:
        self.person, self.item = bits(_STATE, person), item

    @classmethod
    def of(cls, rows: EvalRows | None, chosen: torch.Tensor, start: int, n_items: int) -> "Order":
        """Return the order for chosen rows (int64 [rows]) of a batch of ``rows`` that begins at ``start``.

        Without rows everybody has the same order.
        """
        device, item = chosen.device, np.arange(n_items)
        if rows is None:
            person = np.zeros(len(chosen), dtype=np.int64)
        else:
            person, known = rows.hashes(start + chosen.cpu().numpy())
            item = item if known is None else known
        return cls(torch.from_numpy(person).to(device), torch.from_numpy(item).to(device))

    def rank(self, items: torch.Tensor) -> torch.Tensor:
        """Return numbers of which the larger comes first, int64, of items, int64 [rows, k]."""
        return bits(self.person[:, None], self.item[items])

    def sorted(self, items: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return items, int64 [rows, k], by their scores [rows, k], the largest first, and equal ones in order."""
        by_order = self.rank(items).argsort(dim=1, descending=True, stable=True)
        by_value = values.gather(1, by_order).argsort(dim=1, descending=True, stable=True)
        return items.gather(1, by_order.gather(1, by_value))

    def first(
        self, scores: torch.Tensor, last: torch.Tensor, k: int, rows: torch.Tensor, largest: Largest
    ) -> torch.Tensor:
        """Return the ``k`` best items of rows in which more than ``k`` are no worse than the last one of the list.

        Args:
            scores: [batch, n_items].
            last: [m], the score at place ``k``.
            k: length of the lists.
            rows: int64 [2, m], which of the scores' rows, and which of this order's.
            largest: finds them.

        Returns:
            int64 [m, k], in no order.
        """
        at_once = _PAIRS_AT_ONCE.get(scores.device.type, _PAIRS_ON_DEVICE)
        found = []
        for place in torch.arange(len(last), device=scores.device).split(max(at_once // scores.shape[1], 1)):
            some, own = scores[rows[0, place]], last[place, None]
            rank = bits(self.person[rows[1, place], None], self.item)
            rank.masked_fill_(some > own, torch.iinfo(torch.int64).max)
            found.append(largest(rank.masked_fill_(some < own, torch.iinfo(torch.int64).min), k))
        return torch.cat(found)
