"""Split labels, compared with RecBole's rule as a loop over one user's rows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole.data.split import TEST, TRAIN, VALID, order_key, split_labels
from recbole.utils import UserError

SIZES = st.lists(st.integers(0, 60), min_size=1, max_size=12)
RATIOS = st.tuples(*[st.sampled_from([0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 0.8, 1, 3])] * 3).filter(lambda r: sum(r) > 0)


def counts_of(n, ratios):
    """Return (train, valid, test) of one user by RecBole's rule."""
    ratios = [ratio / sum(ratios) for ratio in ratios]
    counts = [int(ratio * n) for ratio in ratios]
    counts[0] = n - sum(counts[1:])
    for part in (2, 1):
        if counts[0] <= 1:
            break
        if 0 < ratios[part] * n < 1:
            counts[part] += 1
            counts[0] -= 1
    return counts


def labels_of(counts):
    return np.repeat([TRAIN, VALID, TEST], counts).tolist()


@given(SIZES, RATIOS)
def test_ratio_split_equals_recboles(sizes, ratios):
    expected = [label for n in sizes for label in labels_of(counts_of(n, ratios))]
    assert split_labels(sizes, {"RS": list(ratios)}).tolist() == expected


@pytest.mark.parametrize(
    ("n", "counts"),
    [
        (0, (0, 0, 0)),
        (1, (1, 0, 0)),
        (2, (1, 0, 1)),
        (3, (1, 1, 1)),
        (5, (3, 1, 1)),
        (9, (7, 1, 1)),
        (10, (8, 1, 1)),
        (19, (17, 1, 1)),
        (20, (16, 2, 2)),
        (737, (591, 73, 73)),
    ],
)
def test_known_sizes_of_80_10_10(n, counts):
    assert split_labels([n], {"RS": [0.8, 0.1, 0.1]}).tolist() == labels_of(counts)


def test_known_sizes_when_floats_round_down():
    """As floats, 0.15 * 20 is 3, and 10 rows times 0.1 / (0.8 + 0.1 + 0.1) remains one whole row."""
    assert split_labels([20], {"RS": [0.7, 0.15, 0.15]}).tolist() == labels_of((14, 3, 3))
    assert split_labels([10], {"RS": [8, 1, 1]}).tolist() == labels_of((8, 1, 1))
    assert split_labels([10], {"RS": [0.8, 0.2, 0]}).tolist() == labels_of((8, 2, 0))


@given(SIZES, st.sampled_from(["valid_and_test", "valid_only", "test_only"]))
def test_leave_one_out(sizes, mode):
    parts = {"valid_and_test": [VALID, TEST], "valid_only": [VALID], "test_only": [TEST]}[mode]
    expected = []
    for n in sizes:
        labels = [TRAIN] * n
        for from_end, label in enumerate(reversed(parts), start=1):
            if n - from_end >= 1:  # the first row is always in train
                labels[-from_end] = label
        expected += labels
    assert split_labels(sizes, {"LS": mode}).tolist() == expected


def test_random_order_uses_torchs_permutation():
    torch.manual_seed(2)
    shuffled = torch.randperm(50).tolist()
    key = order_key("RO", None, 50, 2)
    assert np.argsort(key).tolist() == shuffled
    assert not np.array_equal(key, order_key("RO", None, 50, 3))


def test_order_by_time_needs_a_time_column():
    assert order_key("TO", "the time", 3, 2) == "the time"
    with pytest.raises(UserError, match=r"order TO needs the column that TIME_FIELD names.* only CF models work"):
        order_key("TO", None, 3, 2)
