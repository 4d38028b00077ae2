"""Positions of the checkpoints, and batches of requests between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole.unlearning.schedule import N_CHECKPOINTS, checkpoint_sizes, chunks


@pytest.mark.parametrize(
    ("n", "sizes"),
    [(1, [1, 1, 1, 1]), (2, [1, 2, 2, 2]), (3, [1, 2, 3, 3]), (4, [2, 3, 4, 4]), (5, [2, 3, 4, 5]), (9, [3, 5, 7, 9])],
)
def test_where_the_checkpoints_lie(n, sizes):
    assert checkpoint_sizes(n) == sizes


@given(st.integers(1, 5000))
def test_checkpoints_are_in_order_and_the_last_holds_everything(n):
    sizes = checkpoint_sizes(n)
    assert len(sizes) == N_CHECKPOINTS and sizes == sorted(sizes) and sizes[-1] == n and sizes[0] == n // 4 + 1
    assert sizes[1:3] == [n // 2 + 1, 3 * n // 4 + 1] or n < 4


@given(st.integers(1, 400), st.integers(1, 500))
def test_pieces_cover_everything_once_and_end_at_every_checkpoint(n, batch_size):
    sizes = checkpoint_sizes(n)
    pieces = chunks(n, batch_size, sizes)
    assert [at for start, stop in pieces for at in range(start, stop)] == list(range(n))
    assert all(0 < stop - start <= batch_size for start, stop in pieces)
    assert set(sizes) <= {stop for _, stop in pieces}
    fewest = sum(-(-(stop - start) // batch_size) for start, stop in zip([0, *sizes[:-1]], sizes, strict=True))
    assert len(pieces) == fewest
