"""Selects the users that take part in losses with a sum over all users.

A spam attack adds fake users to the data. A fake user all of whose training interactions are forgotten is left out of
the sum, so that the loss equals that on data without the attack. Rounding in a sum depends on the number and order of
its rows, so models select the rows of these users even if they are all users.
"""

from collections.abc import Callable

import numpy as np
import torch

from recbole.data import Dataset


def present_users(dataset: Dataset, device: torch.device | str | None = None) -> torch.Tensor:
    """Return the user ids (int64, ascending) that take part in losses with a sum over all users.

    These are all users (and the padding id 0) except those whom a spam attack added and who have no retained training
    interaction. Genuine users take part even if they forget everything, because a retrained model has them in its
    tables too.

    Args:
        dataset: the data with its mask of forgotten interactions.
        device: device of the result; None for the CPU.
    """
    there = np.arange(dataset.n_users) < dataset.first_fake
    there[dataset.log.user[dataset.train_rows]] = True
    return torch.from_numpy(np.flatnonzero(there)).to(device)


def with_batch(present: torch.Tensor, users: torch.Tensor, n_users: int) -> torch.Tensor:
    """Return the ids (int64, ascending, distinct) of the present users (see :func:`present_users`) and a batch's users.

    A batch can contain other users if an algorithm takes the gradient of forgotten examples after the model was rebuilt
    without them.

    Args:
        present: int64, ascending, the result of :func:`present_users`.
        users: int64 [batch], ids of the batch's users.
        n_users: number of rows of the user table; if all of them are present, ``present`` is returned.
    """
    return present if len(present) == n_users else torch.unique(torch.cat([present, users]))


def map_present(
    function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, present: torch.Tensor
) -> torch.Tensor:
    """Apply a function to some rows of a matrix, and return a matrix in which all other rows are zero.

    Args:
        function: maps a matrix [n, d] to a tensor [n, ...], each row independently of the others.
        rows: float [all, d], the matrix.
        present: int64 [n], indices of the rows to which the function is applied.

    Returns:
        float [all, ...].
    """
    found = function(rows.index_select(0, present))
    return found.new_zeros(len(rows), *found.shape[1:]).index_copy(0, present, found)
