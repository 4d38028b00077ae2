"""The split label of every training example: RecBole's ratio and leave-one-out splits, to the row."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsInt

import numpy as np
import numpy.typing as npt

from recbole.utils import UserError

HISTORY, TRAIN, VALID, TEST = -1, 0, 1, 2
SPLITS = {"train": TRAIN, "valid": VALID, "test": TEST}


def split_labels(sizes: npt.ArrayLike, how: Mapping[str, Any]) -> np.ndarray:
    """Label the examples of consecutive groups, each in its own order.

    Args:
        sizes: int array [groups], examples per group (per user, or one group for all).
        how: ``{"RS": [train, valid, test]}`` or ``{"LS": "valid_and_test" | "valid_only" | "test_only"}``, as a
            :class:`~recbole.config.Config` holds it: it refuses others.

    Returns:
        int8 array [sum(sizes)] of TRAIN, VALID, TEST, group after group.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    valid, test = _ratio_sizes(sizes, how["RS"]) if "RS" in how else _leave_one_out_sizes(sizes, how["LS"])
    counts = np.stack([sizes - valid - test, valid, test], axis=1)
    return np.repeat(np.tile(np.array([TRAIN, VALID, TEST], dtype=np.int8), len(sizes)), counts.ravel())


def _ratio_sizes(sizes: np.ndarray, ratios: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """RecBole's rounding: floors, and a group too small for a share gets one row of it while train keeps one."""
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
    """The last example is the test one, the one before the valid one; the first of a group always trains."""
    if mode == "valid_and_test":
        return (sizes > 2).astype(np.int64), (sizes > 1).astype(np.int64)
    one, none = (sizes > 1).astype(np.int64), np.zeros_like(sizes)
    return (one, none) if mode == "valid_only" else (none, one)


def order_key(order: str, time: np.ndarray | None, n_rows: int, seed: SupportsInt) -> np.ndarray:
    """Return the array [n_rows] that rows are stably sorted by before they are split.

    ``TO`` is by time. ``RO`` is RecBole's shuffle: the rows in the order of ``torch.randperm`` of the run's seed.

    Raises:
        UserError: for ``TO`` without a time column.
    """
    if order == "TO":
        if time is None:
            raise UserError(
                "eval_args: order TO needs the column TIME_FIELD names: load it with load_col; only CF models can do "
                "without, by order RO"
            )
        return time
    import torch

    shuffled = torch.randperm(n_rows, generator=torch.Generator().manual_seed(int(seed))).numpy()
    rank = np.empty(n_rows, dtype=np.int64)
    rank[shuffled] = np.arange(n_rows)
    return rank
