"""What next-basket models make of a batch of padded basket histories."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

PAIRS_AT_ONCE = 2**22
"""How many pairs of items are looked at together; 32 MiB of numbers."""


@dataclass(frozen=True)
class Incidence:
    """The items of a batch's history baskets, one entry for each, in the order of users, baskets, places.

    Attributes:
        n_users, n_slots: users in the batch, and baskets of the longest history.
        user, slot, item: int64 [entries].
    """

    n_users: int
    n_slots: int
    user: torch.Tensor
    slot: torch.Tensor
    item: torch.Tensor

    @classmethod
    def of(cls, matrix: torch.Tensor) -> Self:
        """Read the padded histories, int64 [users, slots, places]; 0 is no item."""
        user, slot, place = matrix.nonzero(as_tuple=True)
        return cls(matrix.shape[0], matrix.shape[1], user, slot, matrix[user, slot, place])

    @property
    def basket(self) -> torch.Tensor:
        """The number of each entry's basket, ``user * n_slots + slot``."""
        return self.user * self.n_slots + self.slot

    def sums(self, table: torch.Tensor, of: torch.Tensor | None = None) -> torch.Tensor:
        """Return the sum of the rows of an embedding table over each basket.

        Args:
            table: [n_items, d].
            of: bool [entries], which entries count; all by default.

        Returns:
            [users, slots, d]; zeros where there is no basket.
        """
        item, basket = (self.item, self.basket) if of is None else (self.item[of], self.basket[of])
        zeros = table.new_zeros(self.n_users * self.n_slots, table.shape[1])
        return zeros.index_add(0, basket, table.index_select(0, item)).view(self.n_users, self.n_slots, -1)

    def nodes(self, n_items: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return each user's distinct items.

        Returns:
            ``(user, item, node, count)``: int64 [nodes] of users and items, sorted; int64 [entries], the node that each
            entry is; and int64 [nodes], in how many baskets the item is.
        """
        keys, node, count = torch.unique(self.user * n_items + self.item, return_inverse=True, return_counts=True)
        return keys // n_items, keys % n_items, node, count


def pairs_within(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all ordered pairs of places with the same value in an ascending int64 tensor, each with itself too."""
    _, sizes = torch.unique_consecutive(groups, return_counts=True)
    starts = sizes.cumsum(0) - sizes
    partners = sizes.repeat_interleave(sizes)
    first = torch.arange(len(groups), device=groups.device).repeat_interleave(partners)
    shift = starts.repeat_interleave(sizes) - (partners.cumsum(0) - partners)  # of an item's first partner
    return first, torch.arange(len(first), device=groups.device) + shift.index_select(0, first)


def places_of_pairs(user: np.ndarray, item: np.ndarray, n_items: int) -> torch.Tensor:
    """Return the places ``j n_items + i`` in an items by items matrix of all pairs (j, i) that some user has.

    Args:
        user, item: int64 [rows], of the interactions; an item is paired with itself too.
        n_items: how many columns the matrix has.

    Returns:
        int64, strictly ascending.
    """
    keys = torch.unique(torch.from_numpy(user.astype(np.int64) * n_items + item).to("cpu"))  # where the log is
    owner, item_of = keys // n_items, keys % n_items
    _, sizes = torch.unique_consecutive(owner, return_counts=True)
    portion = (sizes.square().cumsum(0) // PAIRS_AT_ONCE).repeat_interleave(sizes)
    _, lengths = torch.unique_consecutive(portion, return_counts=True)
    found = [keys[:0]]
    for users, items in zip(owner.split(lengths.tolist()), item_of.split(lengths.tolist()), strict=True):
        of, to = pairs_within(users)
        found.append(torch.unique(items.index_select(0, of) * n_items + items.index_select(0, to)))
    return torch.unique(torch.cat(found)) if len(found) > 2 else found[-1]
