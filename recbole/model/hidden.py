"""Hidden pairs: items that are no longer recommended to certain users, whatever their scores."""

from typing import Any

import torch

from recbole.utils import UserError

NAME = "hidden_pairs"
"""Key of the pairs in ``other_parameter`` of a checkpoint."""


def checked_pairs(value: Any, n_items: int) -> torch.Tensor:
    """Check the hidden (user, item) pairs of a checkpoint, and return them on the CPU: ids, int64 [n, 2].

    Raises:
        UserError: the value is not an int64 tensor [n, 2], or an id is below 1 or an item id is ``n_items`` or more.
    """
    if not (
        isinstance(value, torch.Tensor) and value.dtype == torch.int64 and value.dim() == 2 and value.shape[1] == 2
    ):
        raise UserError(f"'other_parameter' holds no int64 pairs of a user and an item under '{NAME}'")
    item = value[:, 1]
    if len(value) and (int(value.min()) < 1 or int(item.max()) >= n_items):
        raise UserError(f"'{NAME}' hides items that are not among the {n_items - 1} of this data set")
    return value.cpu()
