"""The cross-entropy of a softmax over a table's rows: its derivatives in tiles, so that no graph holds all scores."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

AT_ONCE = 2**22
"""At most so many scores of (row, item) are worked on at a time, whatever the numbers of rows and items."""

_TILE = AT_ONCE // 2  # probabilities, and beside them what a direction makes of the scores
_LEAST, _ROWS = 64, 128  # rows of a tile with all items
_CACHED = 2**20  # scores of a tile that fit into caches
_ITEMS = 2048  # that a product of a tile and a table takes at a time


def rows_fit(n_items: int) -> bool:
    """Return whether a tile has room for all items of a table of so many, beside each other, with enough rows."""
    return n_items * _LEAST <= _TILE


def rows_at_once(n_items: int, most: int = 256) -> int:
    """Return how many rows a piece of a batch had better have that scores so many items in each.

    As many as a tile has room for, so that a graph keeps their probabilities; ``most`` where it has room for more, and
    where it has room for so few that items are taken in turn.
    """
    return min(_TILE // n_items, most) if rows_fit(n_items) else most


def _scores(rows: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Return ``items @ rows.T`` for float [n, d] and [items, d], some items at a time: what is in caches is faster."""
    out, rows = rows.new_empty(len(items), len(rows)), rows.T
    for at in range(0, len(items), _ITEMS):
        torch.mm(items[at : at + _ITEMS], rows, out=out[at : at + _ITEMS])
    return out


def _pull(tile: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, to: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Add ``tile.T @ items`` [n, d] and ``tile @ rows`` [items, d] to two tensors, as :func:`_scores` does."""
    of_rows, of_items = to
    for at in range(0, len(items), _ITEMS):
        part = slice(at, at + _ITEMS)
        of_rows.addmm_(tile[part].T, items[part])
        of_items[part].addmm_(tile[part], rows)


class TableSoftmax:
    """The softmax of ``encoded @ table.T``, and what its cross-entropy needs of it.

    Scores are taken in tiles, [items, rows]: all items for some rows or, of a large table, some items for all rows.
    Probabilities are kept if that is wanted and the tiles are of the first kind; else they are computed anew wherever
    they are needed.

    Args:
        encoded: float [n, d], without a graph.
        table: float [items, d], without a graph.
        keep: whether to keep the probabilities.

    Attributes:
        top, total: float [n], a row's largest score and its sum of exponentials relative to that.
        kept: the tiles' probabilities; none where they are not kept.
    """

    def __init__(self, encoded: torch.Tensor, table: torch.Tensor, keep: bool) -> None:
        self.encoded, self.table = encoded, table
        self.top = encoded.new_full((len(encoded),), -torch.inf)
        self.total = torch.zeros_like(self.top)
        self.kept: tuple[torch.Tensor, ...] = ()
        keep = keep and rows_fit(len(table))
        for _, rows, items in self._tiles():
            scores = _scores(encoded[rows], table[items])
            top = torch.maximum(self.top[rows], scores.amax(dim=0))
            shrunk = self.total[rows] * torch.exp(self.top[rows] - top)
            self.total[rows] = shrunk + scores.sub_(top).exp_().sum(dim=0)
            self.top[rows] = top
            if keep:
                self.kept += (scores.div_(self.total[rows]),)

    def _tiles(self) -> Iterator[tuple[int, slice, slice]]:
        """Yield each tile's number, rows and items."""
        n, n_items = len(self.encoded), len(self.table)
        if rows_fit(n_items):
            step = max(min(_ROWS, _CACHED // n_items), _LEAST)
            for number, at in enumerate(range(0, n, step)):
                yield number, slice(at, at + step), slice(0, n_items)
        else:
            step = max(_CACHED // max(n, 1), 1)
            for number, at in enumerate(range(0, n_items, step)):
                yield number, slice(0, n), slice(at, at + step)

    def _softmax(self, number: int, rows: slice, items: slice) -> torch.Tensor:
        """Return a tile's probabilities."""
        if self.kept:
            return self.kept[number]
        return _scores(self.encoded[rows], self.table[items]).sub_(self.top[rows]).exp_().div_(self.total[rows])

    def losses(self, target: torch.Tensor) -> torch.Tensor:
        """Return the rows' cross-entropies, float [n], at targets (int64 [n])."""
        right = (self.encoded * self.table[target]).sum(dim=1)
        return self.top - right + self.total.log()

    def pull(
        self, rows_hold: torch.Tensor, items_hold: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``(p - y) items_hold`` and ``(p - y)' rows_hold``, ``p - y`` the derivative of the loss in the scores.

        They are its derivatives in ``encoded`` and ``table`` if these are what is held.

        Args:
            rows_hold: float [n, d].
            items_hold: float [items, d].
            target: int64 [n].
        """
        of_rows, of_items = -items_hold[target], torch.zeros_like(self.table)
        for tile in self._tiles():
            _, rows, items = tile
            _pull(self._softmax(*tile), rows_hold[rows], items_hold[items], (of_rows[rows], of_items[items]))
        return of_rows, of_items.index_add_(0, target, rows_hold, alpha=-1)

    def gauss_newton(
        self, rows_move: torch.Tensor, items_move: torch.Tensor, weights: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the image of a direction under the loss's Hessian in the scores, from and to ``(encoded, table)``.

        It is ``diag(p) - p p'`` for a row. The Hessian in ``(encoded, table)`` is this and the :meth:`pull` of the
        direction.

        Args:
            rows_move: float [n, d].
            items_move: float [items, d].
            weights: float [n, 1], what each row counts; 1 by default.
        """
        images = of_rows, of_items = torch.zeros_like(self.encoded), torch.zeros_like(self.table)
        left, right = torch.cat([rows_move, self.encoded], dim=1), None
        if weights is not None:
            left *= weights
        by_rows = rows_fit(len(self.table))
        means = None if by_rows else self._means(left, items_move)
        for tile in self._tiles():
            _, rows, items = tile
            if right is None or not by_rows:
                right = torch.cat([self.table[items], items_move[items]], dim=1)
            p, change = self._softmax(*tile), _scores(left[rows], right)
            if means is None:
                change.mul_(p)
                change.addcmul_(p, change.sum(dim=0), value=-1)
            else:
                change.sub_(means).mul_(p)
            _pull(change, self.encoded[rows], self.table[items], (of_rows[rows], of_items[items]))
        return images

    def _means(self, left: torch.Tensor, items_move: torch.Tensor) -> torch.Tensor:
        """Return a row's mean change of scores under its probabilities, [n], as ``left @ [table, items_move].T``."""
        means = torch.zeros_like(self.top)
        for tile in self._tiles():
            p, items = self._softmax(*tile), tile[2]
            means += (torch.cat([p.T @ self.table[items], p.T @ items_move[items]], dim=1) * left).sum(dim=1)
        return means

    def parts(self) -> tuple[torch.Tensor, ...]:
        """Return the tensors that it consists of, for :meth:`of`."""
        return self.encoded, self.table, self.top, self.total, *self.kept

    @classmethod
    def of(cls, encoded: torch.Tensor, table: torch.Tensor, *rest: torch.Tensor) -> "TableSoftmax":
        """Return the one of some :meth:`parts`."""
        softmax = cls.__new__(cls)
        softmax.encoded, softmax.table = encoded, table
        softmax.top, softmax.total, *kept = rest
        softmax.kept = tuple(kept)
        return softmax


def table_cross_entropy(encoded: torch.Tensor, table: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of the softmax of ``encoded @ table.T``, summed over the rows.

    It can be differentiated twice. No graph of it holds more than a tile's probabilities.

    Args:
        encoded: float [n, d].
        table: float [items, d].
        target: int64 [n], rows of the table.
    """
    return _Loss.apply(encoded, table, target)


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, encoded: torch.Tensor, table: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        wanted = any(ctx.needs_input_grad[:2]) and len(encoded) * len(table) <= _TILE
        softmax = TableSoftmax(encoded, table, keep=wanted)
        ctx.save_for_backward(target, *softmax.parts())
        return softmax.losses(target).sum()

    @staticmethod
    def backward(ctx: Any, weight: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        target, encoded, table, *rest = ctx.saved_tensors
        return (*_Slopes.apply(encoded, table, weight, target, *rest), None)


class _Slopes(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, encoded: torch.Tensor, table: torch.Tensor, weight: torch.Tensor, target: torch.Tensor, *rest: Any
    ) -> tuple[torch.Tensor, ...]:
        ctx.save_for_backward(target, weight, encoded, table, *rest)
        return tuple(
            slope.mul_(weight) for slope in TableSoftmax.of(encoded, table, *rest).pull(encoded, table, target)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, rows_move: torch.Tensor, items_move: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        target, weight, encoded, table, *rest = ctx.saved_tensors
        softmax, along = TableSoftmax.of(encoded, table, *rest), (rows_move, items_move)
        slope: torch.Tensor | None = None
        if ctx.needs_input_grad[2]:
            of_rows, of_items = softmax.pull(encoded, table, target)
            slope = (of_rows * rows_move).sum() + (of_items * items_move).sum()
        turned = zip(softmax.gauss_newton(*along), softmax.pull(*along, target), strict=True)
        images = [bent.add_(other).mul_(weight) for bent, other in turned]
        return *images, slope, *(None for _ in ctx.needs_input_grad[3:])
