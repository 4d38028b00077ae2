"""Split labels (training, validation, test) of examples; they equal RecBole's ratio and leave-one-out splits."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsInt

import numpy as np
import numpy.typing as npt

from recbole.utils import UserError

HISTORY, TRAIN, VALID, TEST = -1, 0, 1, 2
"""Split labels. A row labelled ``HISTORY`` is the target of no example; it only belongs to the inputs of others."""

SPLITS = {"train": TRAIN, "valid": VALID, "test": TEST}


def split_labels(sizes: npt.ArrayLike, how: Mapping[str, Any]) -> np.ndarray:
    """Return the split label of each example. Each group is split separately, in the order of its examples.

    Args:
        sizes: int array [groups], number of examples in each group (a group is one user, or all users together).
        how: ``{"RS": [train, valid, test]}`` or ``{"LS": "valid_and_test" | "valid_only" | "test_only"}``, as checked
            by :class:`~recbole.config.Config`.

    Returns:
        int8 array [sum(sizes)] of TRAIN, VALID, TEST, group after group.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    valid, test = _ratio_sizes(sizes, how["RS"]) if "RS" in how else _leave_one_out_sizes(sizes, how["LS"])
    counts = np.stack([sizes - valid - test, valid, test], axis=1)
    return np.repeat(np.tile(np.array([TRAIN, VALID, TEST], dtype=np.int8), len(sizes)), counts.ravel())


def _ratio_sizes(sizes: np.ndarray, ratios: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of validation and of test examples of each group (int64 [groups] each), rounded as in RecBole.

    Numbers are rounded down. If a share above 0 amounts to less than one example, it still gets one, as long as at
    least one remains for training.
    """
    shares = [ratio / sum(ratios) for ratio in ratios]
    valid, test = (np.floor(share * sizes).astype(np.int64) for share in shares[1:])
    train = sizes - valid - test
    for share, count in ((shares[2], test), (shares[1], valid)):
        wanted = share * sizes
        lift = (train > 1) & (wanted > 0) & (wanted < 1)
        count[lift] += 1
        train[lift] -= 1
    return valid, test


def _leave_one_out_sizes(sizes: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of validation and of test examples of each group (int64 [groups] each), each 0 or 1.

    With ``valid_and_test``, the last example of a group is for test and the one before it for validation. With
    ``valid_only`` or ``test_only``, the last example is for that split. The first is always for training.
    """
    if mode == "valid_and_test":
        return (sizes > 2).astype(np.int64), (sizes > 1).astype(np.int64)
    one, none = (sizes > 1).astype(np.int64), np.zeros_like(sizes)
    return (one, none) if mode == "valid_only" else (none, one)


def order_key(order: str, time: np.ndarray | None, n_rows: int, seed: SupportsInt) -> np.ndarray:
    """Return the numbers [n_rows] by which rows are stably sorted before they are split.

    Args:
        order: ``"TO"`` to sort by time, ``"RO"`` for RecBole's shuffle: ``torch.randperm`` with the run's seed.
        time: the time of each row; None if there is no such column.
        n_rows: number of rows.
        seed: the run's seed.

    Raises:
        UserError: the order is ``TO`` and there is no time column.
    """
    if order == "TO":
        if time is None:
            raise UserError(
                "eval_args: order TO needs the column that TIME_FIELD names: load it with load_col; only CF models "
                "work without it, with order RO"
            )
        return time
    import torch

    shuffled = torch.randperm(n_rows, generator=torch.Generator().manual_seed(int(seed))).numpy()
    rank = np.empty(n_rows, dtype=np.int64)
    rank[shuffled] = np.arange(n_rows)
    return rank
