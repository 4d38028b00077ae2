"""The cross-entropy of a softmax over a table's rows: its derivatives in tiles, so that no graph holds all scores."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

AT_ONCE = 2**22
"""How many scores of (row, item) are worked on at a time, whatever the numbers of rows and items."""

_TILE = AT_ONCE // 2  # probabilities, and beside them what a direction makes of the scores
_LEAST = 64  # rows that a product with the table is worth its while for
_ROWS = 128  # of kept probabilities at a time: they fit into caches


def rows_at_once(n_items: int, most: int = 256) -> int:
    """Return how many rows a piece of a batch had better have that scores so many items in each.

    As many as a tile has room for, so that their probabilities can be kept; ``most`` where it has room for more, and
    where it has room for so few that items are taken in turn.
    """
    room = _TILE // n_items
    return min(room, most) if room >= _LEAST else most


class TableSoftmax:
    """The softmax of ``encoded @ table.T``, and what its cross-entropy needs of it.

    Probabilities are kept where one tile holds them all; else they are computed anew, tile by tile, wherever they are
    needed: all rows, and as many items as a tile has room for.

    Args:
        encoded: float [n, d], without a graph.
        table: float [items, d], without a graph.

    Attributes:
        probabilities: float [n, items], or None where they are not kept.
        top, total: float [n, 1], a row's largest score and its sum of exponentials relative to that.
    """

    def __init__(self, encoded: torch.Tensor, table: torch.Tensor) -> None:
        self.encoded, self.table = encoded, table
        self.probabilities: torch.Tensor | None = None
        if encoded.shape[0] * table.shape[0] <= _TILE:
            scores = encoded @ table.T
            self.top = scores.amax(dim=1, keepdim=True)
            self.total = scores.sub_(self.top).exp_().sum(dim=1, keepdim=True)
            self.probabilities = scores.div_(self.total)
            return
        self.top = encoded.new_full((len(encoded), 1), -torch.inf)
        self.total = torch.zeros_like(self.top)
        for items in self._chunks():
            scores = encoded @ table[items].T
            top = torch.maximum(self.top, scores.amax(dim=1, keepdim=True))
            self.total.mul_(torch.exp(self.top - top)).add_(scores.sub_(top).exp_().sum(dim=1, keepdim=True))
            self.top = top

    def _chunks(self) -> Iterator[slice]:
        step = max(_TILE // max(len(self.encoded), 1), 1)
        for at in range(0, len(self.table), step):
            yield slice(at, at + step)

    def _tiles(self) -> Iterator[tuple[slice, slice, torch.Tensor]]:
        """Yield rows, items, and their probabilities: some rows with all items, or all rows with some items."""
        if self.probabilities is not None:
            for at in range(0, len(self.encoded), _ROWS):
                yield slice(at, at + _ROWS), slice(None), self.probabilities[at : at + _ROWS]
            return
        for items in self._chunks():
            scores = self.encoded @ self.table[items].T
            yield slice(None), items, scores.sub_(self.top).exp_().div_(self.total)

    def loss(self, target: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy, summed over the rows, at targets (int64 [n])."""
        right = (self.encoded * self.table[target]).sum(dim=1)
        return (self.top.squeeze(1) - right + self.total.squeeze(1).log()).sum()

    def slopes(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the derivatives of the :meth:`loss` in ``encoded`` and in ``table``, of their shapes."""
        of_rows, of_items = -self.table[target], torch.zeros_like(self.table)
        for rows, items, p in self._tiles():
            of_rows[rows].addmm_(p, self.table[items])
            of_items[items].addmm_(p.T, self.encoded[rows])
        return of_rows, of_items.index_add_(0, target, self.encoded, alpha=-1)

    def bend(
        self, rows_move: torch.Tensor, items_move: torch.Tensor, target: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the image of a direction under the Hessian of the :meth:`loss` in ``(encoded, table)``.

        With ``s = encoded @ table.T`` and its change ``c`` along the direction, a row's scores bend the loss by
        ``(diag(p) - p p') c``; that alone, pulled back to the factors, is the Gauss-Newton form. The Hessian adds what
        the slopes ``p - y`` do as the other factor moves.

        Args:
            rows_move: float [n, d].
            items_move: float [items, d].
            target: int64 [n] gives the Hessian, None the Gauss-Newton form.
        """
        of_rows, of_items = torch.zeros_like(self.encoded), torch.zeros_like(self.table)
        left, means = torch.cat([rows_move, self.encoded], dim=1), None
        if self.probabilities is None:
            means = self._means(rows_move, items_move)
        for rows, items, p in self._tiles():
            change = left[rows] @ torch.cat([self.table[items], items_move[items]], dim=1).T
            if means is None:
                change.mul_(p)
                change.addcmul_(p, change.sum(dim=1, keepdim=True), value=-1)
            else:
                change.sub_(means[rows]).mul_(p)
            of_rows[rows].addmm_(change, self.table[items])
            of_items[items].addmm_(change.T, self.encoded[rows])
            if target is not None:
                of_rows[rows].addmm_(p, items_move[items])
                of_items[items].addmm_(p.T, rows_move[rows])
        if target is not None:
            of_rows -= items_move[target]
            of_items.index_add_(0, target, rows_move, alpha=-1)
        return of_rows, of_items

    def _means(self, rows_move: torch.Tensor, items_move: torch.Tensor) -> torch.Tensor:
        """Return the mean change of a row's scores along a direction, under its probabilities, [n, 1]."""
        means = torch.zeros_like(self.top)
        for _, items, p in self._tiles():
            means += ((p @ self.table[items]) * rows_move).sum(dim=1, keepdim=True)
            means += ((p @ items_move[items]) * self.encoded).sum(dim=1, keepdim=True)
        return means

    def _parts(self) -> tuple[torch.Tensor | None, ...]:
        return self.encoded, self.table, self.top, self.total, self.probabilities

    @classmethod
    def _of(cls, *parts: Any) -> "TableSoftmax":
        softmax = cls.__new__(cls)
        softmax.encoded, softmax.table, softmax.top, softmax.total, softmax.probabilities = parts
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
        softmax = TableSoftmax(encoded, table)
        ctx.save_for_backward(target, *softmax._parts())
        return softmax.loss(target)

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
        return tuple(slope.mul_(weight) for slope in TableSoftmax._of(encoded, table, *rest).slopes(target))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, rows_move: torch.Tensor, items_move: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        target, weight, *parts = ctx.saved_tensors
        softmax, slope = TableSoftmax._of(*parts), None
        if ctx.needs_input_grad[2]:
            slope = sum((a * b).sum() for a, b in zip(softmax.slopes(target), (rows_move, items_move), strict=True))
        bent = [image.mul_(weight) for image in softmax.bend(rows_move, items_move, target)]
        return *bent, slope, *[None] * (len(ctx.needs_input_grad) - 3)
