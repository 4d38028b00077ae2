"""Sparse forms of a batch of padded basket histories, and pairs of items in them, for next-basket models."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

PAIRS_AT_ONCE = 2**22
"""About how many item pairs are held in memory at a time (32 MiB of int64)."""


@dataclass(frozen=True)
class Incidence:
    """The items in a batch's history baskets, as lists of entries without padding.

    There is one entry per item in a basket. Entries are ordered by user, then basket, then position in the basket.

    Attributes:
        n_users: number of users (rows) in the batch.
        n_slots: number of baskets in the longest history.
        user: int64 [entries], the user's row in the batch.
        slot: int64 [entries], number of the basket in the user's history, from 0.
        item: int64 [entries], item id.
    """

    n_users: int
    n_slots: int
    user: torch.Tensor
    slot: torch.Tensor
    item: torch.Tensor

    @classmethod
    def of(cls, matrix: torch.Tensor) -> Self:
        """Return an instance with an entry for each item id in ``matrix``.

        Args:
            matrix: padded histories, int64 [users, baskets, positions] of item ids; 0 is padding.
        """
        user, slot, place = matrix.nonzero(as_tuple=True)
        return cls(matrix.shape[0], matrix.shape[1], user, slot, matrix[user, slot, place])

    @property
    def basket(self) -> torch.Tensor:
        """A number for the basket of each entry, ``user * n_slots + slot``, unique in the batch, int64 [entries]."""
        return self.user * self.n_slots + self.slot

    def sums(self, table: torch.Tensor, of: torch.Tensor | None = None) -> torch.Tensor:
        """Return, for each basket, the sum of its items' rows in an embedding table.

        Args:
            table: float [n_items, d].
            of: bool [entries], True for the entries to sum; None sums all entries.

        Returns:
            float [n_users, n_slots, d]; zeros for padding baskets.
        """
        item, basket = (self.item, self.basket) if of is None else (self.item[of], self.basket[of])
        zeros = table.new_zeros(self.n_users * self.n_slots, table.shape[1])
        return zeros.index_add(0, basket, table.index_select(0, item)).view(self.n_users, self.n_slots, -1)

    def nodes(self, n_items: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the distinct (user, item) pairs of the batch, called nodes.

        Args:
            n_items: number of items, including the padding.

        Returns:
            ``(user, item, node, count)``. ``user`` and ``item``, int64 [nodes]: batch row and item id of each node,
            sorted by user, then item. ``node``, int64 [entries]: the node of each entry. ``count``, int64 [nodes]:
            number of the user's history baskets that contain the item.
        """
        keys, node, count = torch.unique(self.user * n_items + self.item, return_inverse=True, return_counts=True)
        return keys // n_items, keys % n_items, node, count


def pairs_within(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all ordered pairs of entries in the same group, including each entry with itself.

    Args:
        groups: int64 [entries], ascending, the group of each entry.

    Returns:
        Two tensors, int64 [pairs]: the index of the first and of the second entry of each pair.
    """
    _, sizes = torch.unique_consecutive(groups, return_counts=True)
    starts = sizes.cumsum(0) - sizes
    partners = sizes.repeat_interleave(sizes)
    first = torch.arange(len(groups), device=groups.device).repeat_interleave(partners)
    shift = starts.repeat_interleave(sizes) - (partners.cumsum(0) - partners)  # index of an entry's first partner
    return first, torch.arange(len(first), device=groups.device) + shift.index_select(0, first)


def places_of_pairs(user: np.ndarray, item: np.ndarray, n_items: int) -> torch.Tensor:
    """Return ``j n_items + i`` for all pairs (j, i) of items that at least one user has both interacted with.

    These are indices into a flattened item-by-item matrix, with i as the column. Each item is also paired with itself.

    Args:
        user, item: int64 [rows], ids of user and item in each interaction.
        n_items: number of rows and columns of the matrix.

    Returns:
        int64, strictly ascending.
    """
    keys = torch.unique(torch.from_numpy(user.astype(np.int64) * n_items + item).to("cpu"))  # the log is on the CPU
    owner, item_of = keys // n_items, keys % n_items
    _, sizes = torch.unique_consecutive(owner, return_counts=True)
    portion = (sizes.square().cumsum(0) // PAIRS_AT_ONCE).repeat_interleave(sizes)
    _, lengths = torch.unique_consecutive(portion, return_counts=True)
    found = [keys[:0]]
    for users, items in zip(owner.split(lengths.tolist()), item_of.split(lengths.tolist()), strict=True):
        of, to = pairs_within(users)
        found.append(torch.unique(items.index_select(0, of) * n_items + items.index_select(0, to)))
    return torch.unique(torch.cat(found)) if len(found) > 2 else found[-1]
