"""The split label of every training example: RecBole's ratio and leave-one-out splits, to the row."""

import numpy as np

from recbole.utils import UserError

HISTORY, TRAIN, VALID, TEST = -1, 0, 1, 2
SPLITS = {"train": TRAIN, "valid": VALID, "test": TEST}


def split_labels(sizes, how):
    """Label the examples of consecutive groups, each in its own order.

    Args:
        sizes: int array [groups], examples per group (per user, or one group for all).
        how: ``{"RS": [train, valid, test]}`` or ``{"LS": "valid_and_test" | "valid_only" | "test_only"}``.

    Returns:
        int8 array [sum(sizes)] of TRAIN, VALID, TEST, group after group.

    Raises:
        UserError: when ``how`` is neither.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    kind, argument = _kind(how)
    valid, test = _ratio_sizes(sizes, argument) if kind == "RS" else _leave_one_out_sizes(sizes, argument)
    group = np.repeat(np.arange(len(sizes)), sizes)
    from_end = np.cumsum(sizes)[group] - np.arange(len(group))  # 1 for the last of a group
    labels = np.full(len(group), TRAIN, dtype=np.int8)
    labels[from_end <= (valid + test)[group]] = VALID
    labels[from_end <= test[group]] = TEST
    return labels


def _kind(how):
    if not isinstance(how, dict) or len(how) != 1 or next(iter(how)) not in ("RS", "LS"):
        raise UserError(f"eval_args: split {how} is not {{'RS': [0.8, 0.1, 0.1]}} or {{'LS': 'valid_and_test'}}")
    return next(iter(how.items()))


def _ratio_sizes(sizes, ratios):
    """RecBole's rounding: floors, and a group too small for a share gets one row of it while train keeps one."""
    if not isinstance(ratios, (list, tuple)) or len(ratios) != 3 or min(ratios) < 0 or sum(ratios) <= 0:
        raise UserError(f"eval_args: split RS {ratios} is not three ratios such as [0.8, 0.1, 0.1]")
    shares = [ratio / sum(ratios) for ratio in ratios]
    valid, test = (np.floor(share * sizes).astype(np.int64) for share in shares[1:])
    train = sizes - valid - test
    for share, count in ((shares[2], test), (shares[1], valid)):
        wanted = share * sizes
        lift = (train > 1) & (wanted > 0) & (wanted < 1)
        count[lift] += 1
        train[lift] -= 1
    return valid, test


def _leave_one_out_sizes(sizes, mode):
    """The last example is the test one, the one before the valid one; the first of a group always trains."""
    if mode not in ("valid_and_test", "valid_only", "test_only"):
        raise UserError(f"eval_args: split LS '{mode}' is not valid_and_test, valid_only or test_only")
    if mode == "valid_and_test":
        return (sizes > 2).astype(np.int64), (sizes > 1).astype(np.int64)
    one, none = (sizes > 1).astype(np.int64), np.zeros_like(sizes)
    return (one, none) if mode == "valid_only" else (none, one)


def order_key(order, time, n_rows, seed):
    """Return the array [n_rows] that rows are stably sorted by before they are split.

    ``TO`` is by time. ``RO`` is RecBole's shuffle: the rows in the order of ``torch.randperm`` of the run's seed.

    Raises:
        UserError: for another order, or for ``TO`` without a time column.
    """
    if order == "TO":
        if time is None:
            raise UserError(
                "eval_args: order TO needs the column TIME_FIELD names: load it with load_col; only CF models can do "
                "without, by order RO"
            )
        return time
    if order == "RO":
        import torch

        shuffled = torch.randperm(n_rows, generator=torch.Generator().manual_seed(int(seed))).numpy()
        rank = np.empty(n_rows, dtype=np.int64)
        rank[shuffled] = np.arange(n_rows)
        return rank
    raise UserError(f"eval_args: order '{order}' is not TO (by time) or RO (random)")
