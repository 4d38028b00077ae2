"""The cross-entropy over an item table in blocks, compared with PyTorch's on the whole score matrix."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import cross_entropy

from recbole.model import table_softmax
from recbole.model.table_softmax import TableSoftmax, rows_at_once, rows_fit, table_cross_entropy

SIZES = {
    "all items beside each other": {},
    "rows in tiles": {"_LEAST": 2, "_ROWS": 3, "_CACHED": 40, "_TILE": 60, "_ITEMS": 5},
    "items in tiles": {"_LEAST": 64, "_CACHED": 21, "_TILE": 60, "_ITEMS": 2},
}


@pytest.fixture(params=list(SIZES))
def tiles(request, monkeypatch):
    for name, value in SIZES[request.param].items():
        monkeypatch.setattr(table_softmax, name, value)


def some(n=7, items=13, d=3):
    torch.manual_seed(4)
    encoded, table = torch.randn(n, d, dtype=torch.float64) * 2, torch.randn(items, d, dtype=torch.float64)
    return encoded.requires_grad_(), table.requires_grad_(), torch.randint(items, (n,))


def of_torch(encoded, table, target):
    return cross_entropy(encoded @ table.T, target, reduction="sum")


def test_value_and_first_and_second_derivatives(tiles):
    encoded, table, target = some()
    torch.testing.assert_close(table_cross_entropy(encoded, table, target), of_torch(encoded, table, target))
    gradcheck(lambda e, t: table_cross_entropy(e, t, target), (encoded, table))
    gradgradcheck(lambda e, t: 1.7 * table_cross_entropy(e, t, target), (encoded, table))


@pytest.mark.parametrize("keep", [True, False])
def test_the_gauss_newton_product_equals_that_of_the_whole_matrix(tiles, keep):
    encoded, table, _ = some()
    moves, weights = (torch.randn_like(encoded), torch.randn_like(table)), torch.rand(len(encoded), 1).double()
    p = (encoded @ table.T).softmax(dim=1)
    change = weights * (moves[0] @ table.T + encoded @ moves[1].T)
    bent = p * change - p * (p * change).sum(dim=1, keepdim=True)
    softmax = TableSoftmax(encoded.detach(), table.detach(), keep)
    of_rows, of_items = softmax.gauss_newton(*(move.detach() for move in moves), weights)
    torch.testing.assert_close(of_rows, (bent @ table).detach())
    torch.testing.assert_close(of_items, (bent.T @ encoded).detach())


def test_extreme_scores_neither_overflow_nor_underflow(tiles):
    encoded, table, target = some()
    encoded, table = 300 * encoded.detach(), table.detach()
    torch.testing.assert_close(table_cross_entropy(encoded, table, target), of_torch(encoded, table, target))


def test_blocks_have_a_bounded_number_of_scores(monkeypatch):
    seen = []
    real = table_softmax._scores
    monkeypatch.setattr(table_softmax, "_scores", lambda *args: seen.append(real(*args).numel()) or real(*args))
    for n, items in ((300, 1000), (40, 100_000)):
        encoded, table, target = (torch.randn(n, 2), torch.randn(items, 2), torch.randint(items, (n,)))
        table_cross_entropy(encoded.requires_grad_(), table, target).backward()
        assert max(seen) <= table_softmax._TILE and len(seen) > 1
        seen.clear()


def test_blocks_have_as_many_rows_as_fit():
    assert rows_at_once(2) == 256
    assert all(rows_at_once(n) * n <= table_softmax._TILE for n in (5_000, 20_000, 32_000) if rows_fit(n))
    assert rows_at_once(1_000_000) == 256, "there, items are processed in blocks"
