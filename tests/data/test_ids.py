"""Set operations on ids, compared with NumPy's functions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole.data import ids as module
from recbole.data.ids import distinct, grouped, held, ordered, without

IDS = st.lists(st.integers(0, 60), max_size=60).map(lambda ids: np.array(ids, dtype=np.int64))


def same(one, other):
    return np.array_equal(one, other) and one.dtype == other.dtype


@given(IDS, st.sampled_from([None, 61, 61 * 16 * 60]))
def test_distinct_ids_equal_numpys_unique(ids, size):
    before = ids.copy()
    assert same(distinct(ids, size), np.unique(ids))
    assert same(distinct(np.sort(ids), size), np.unique(ids))
    assert same(ids, before), "the input is not changed"


@given(IDS, IDS)
def test_membership_equals_numpys_isin(ids, others):
    among = np.unique(others)
    assert same(held(ids, among), np.isin(ids, others))
    assert same(without(ids, among), ids[~np.isin(ids, others)])
    assert same(without(np.unique(ids), among), np.setdiff1d(ids, others))


@pytest.mark.parametrize("among", [[], [2, 4]])
def test_ids_may_have_any_shape(among):
    ids = np.arange(6).reshape(2, 3)
    assert same(held(ids, np.array(among, dtype=np.int64)), np.isin(ids, among))


KEYS = st.one_of(
    st.integers(-3, 3), st.integers(10**12, 10**12 + 4), st.integers(-(2**63), 2**63 - 1), st.sampled_from([0.5, -2.0])
)


@given(st.lists(st.tuples(st.integers(0, 9), KEYS), min_size=1, max_size=60), st.integers(1, 70), st.booleans())
def test_orders_equal_numpys_stable_sort(rows, at_once, wide):
    groups = np.array([group for group, _ in rows], dtype=np.int64 if wide else np.int32)
    key = np.array([key for _, key in rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", at_once)
        assert same(ordered(key, groups), np.lexsort((key, groups)))
    assert same(grouped(groups), np.argsort(groups, kind="stable"))
