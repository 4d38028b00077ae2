"""Items that a model recommends to some people no more, whatever it scores them."""

from typing import Any

import torch

from recbole.utils import UserError

NAME = "hidden_pairs"
"""What the pairs are called among a checkpoint's further attributes."""


def checked_pairs(value: Any, n_items: int) -> torch.Tensor:
    """Return the (person, item) pairs that a checkpoint holds, ids int64 [n, 2], on the CPU.

    Raises:
        UserError: when it is anything else, or an item is not in the catalogue.
    """
    if not (
        isinstance(value, torch.Tensor) and value.dtype == torch.int64 and value.dim() == 2 and value.shape[1] == 2
    ):
        raise UserError(f"'other_parameter' holds no int64 pairs of a person and an item under '{NAME}'")
    item = value[:, 1]
    if len(value) and (int(value.min()) < 1 or int(item.max()) >= n_items):
        raise UserError(f"'{NAME}' hides items that are not among the {n_items - 1} of this data; it is of another")
    return value.cpu()
