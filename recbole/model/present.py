"""Which users a loss over whole tables is about: planted ones of whom everything is forgotten are nobody.

Sums over rows are rounded by how many there are and in which order, so models look at the present users alone even
where these are all: then the operations are the same ones.
"""

from collections.abc import Callable

import numpy as np
import torch

from recbole.data import Dataset


def present_users(dataset: Dataset, device: torch.device | str | None = None) -> torch.Tensor:
    """Return the ids of all users but the planted ones without a retained training row, int64.

    Genuine users stay, whatever they forget: a model that is trained without their rows has them in its tables too.
    """
    there = np.arange(dataset.n_users) < dataset.first_fake
    there[dataset.log.user[dataset.train_rows]] = True
    return torch.from_numpy(np.flatnonzero(there)).to(device)


def map_present(
    function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, present: torch.Tensor
) -> torch.Tensor:
    """Return ``function(rows)``, a function of each row alone, with zeros in the rows that are not ``present``."""
    found = function(rows.index_select(0, present))
    return found.new_zeros(len(rows), *found.shape[1:]).index_copy(0, present, found)
