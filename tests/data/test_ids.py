"""Sets of ids are what NumPy's own functions make of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole.data.ids import distinct, held, without

IDS = st.lists(st.integers(0, 60), max_size=60).map(lambda ids: np.array(ids, dtype=np.int64))


def same(one, other):
    return np.array_equal(one, other) and one.dtype == other.dtype


@given(IDS, st.sampled_from([None, 61, 61 * 16 * 60]))
def test_distinct_ids_are_numpys_unique_ones(ids, size):
    before = ids.copy()
    assert same(distinct(ids, size), np.unique(ids))
    assert same(distinct(np.sort(ids), size), np.unique(ids))
    assert same(ids, before), "what is asked about stays as it is"


@given(IDS, IDS)
def test_what_is_held_and_what_is_not(ids, others):
    among = np.unique(others)
    assert same(held(ids, among), np.isin(ids, others))
    assert same(without(ids, among), ids[~np.isin(ids, others)])
    assert same(without(np.unique(ids), among), np.setdiff1d(ids, others))


@pytest.mark.parametrize("among", [[], [2, 4]])
def test_ids_may_have_any_shape(among):
    ids = np.arange(6).reshape(2, 3)
    assert same(held(ids, np.array(among, dtype=np.int64)), np.isin(ids, among))
