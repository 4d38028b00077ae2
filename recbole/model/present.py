"""The users that are included in losses which sum over all users.

Injected users (spam) without retained rows are excluded, so that such a loss equals that on the clean data. Rounding in
a sum depends on the number and order of its rows, so models select the included users even if these are all users.
"""

from collections.abc import Callable

import numpy as np
import torch

from recbole.data import Dataset


def present_users(dataset: Dataset, device: torch.device | str | None = None) -> torch.Tensor:
    """Return the ids (int64, ascending) of all users except injected ones without a retained training row.

    Genuine users are always included, because a retrained model has them in its tables too.
    """
    there = np.arange(dataset.n_users) < dataset.first_fake
    there[dataset.log.user[dataset.train_rows]] = True
    return torch.from_numpy(np.flatnonzero(there)).to(device)


def with_batch(present: torch.Tensor, users: torch.Tensor, n_users: int) -> torch.Tensor:
    """Return the ids (int64, ascending) of the present users and of a batch's users.

    A batch has users who are not present if an algorithm takes the gradient of forgotten examples, after the model was
    rebuilt without them.

    Args:
        present: ids of the present users, int64, ascending.
        users: ids of the batch's users, int64 [batch].
        n_users: number of rows of the user table.
    """
    return present if len(present) == n_users else torch.unique(torch.cat([present, users]))


def map_present(
    function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, present: torch.Tensor
) -> torch.Tensor:
    """Apply a function to some rows of a matrix and return a matrix with zeros in all other rows.

    Args:
        function: maps rows [n, d] to rows [n, ...], each independently of the others.
        rows: float [all, d].
        present: int64 [n], indices of the rows to which the function is applied.
    """
    found = function(rows.index_select(0, present))
    return found.new_zeros(len(rows), *found.shape[1:]).index_copy(0, present, found)
