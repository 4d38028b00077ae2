"""Hidden pairs: (user, item) pairs that are never recommended. The unlearning baseline ``filter`` sets them."""

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
        raise UserError(f"'other_parameter': '{NAME}' is not an int64 tensor of (user, item) pairs")
    item = value[:, 1]
    if len(value) and (int(value.min()) < 1 or int(item.max()) >= n_items):
        raise UserError(f"'{NAME}' contains an id below 1, or an item that is not among the {n_items - 1} of this data")
    return value.cpu()
