"""Softmax cross-entropy over all items, and first and second derivatives, with bounded memory.

The matrix of scores, of batch rows and items, is computed in tiles (rectangular blocks), so that it is never in memory
as a whole.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

AT_ONCE = 2**22
"""Largest number of (row, item) scores that are held in memory at a time."""

_TILE = AT_ONCE // 2  # most scores in a tile; second derivatives need another tensor of the tile's size
_LEAST, _ROWS = 64, 128  # smallest and largest number of rows in a tile with all items
_CACHED = 2**20  # usual number of scores in a tile, so that it fits into the CPU caches
_ITEMS = 2048  # most items in a single matrix product


def rows_fit(n_items: int) -> bool:
    """Return whether a tile (block of the score matrix) can hold all ``n_items`` items for at least ``_LEAST`` rows."""
    return n_items * _LEAST <= _TILE


def rows_at_once(n_items: int, most: int = 256) -> int:
    """Return a suitable number of rows per piece of a batch if each row has ``n_items`` scores.

    It is the largest number of rows whose scores fit into one tile, because their probabilities can then be kept, but
    at most ``most``. If a tile cannot hold all items, tiles are divided by items instead, and the result is ``most``.
    """
    return min(_TILE // n_items, most) if rows_fit(n_items) else most


def _scores(rows: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Return ``items @ rows.T``, float [n_items, n], for rows [n, d] and items [n_items, d].

    The product is computed for ``_ITEMS`` items at a time, so that the operands fit into the CPU caches.
    """
    out, rows = rows.new_empty(len(items), len(rows)), rows.T
    for at in range(0, len(items), _ITEMS):
        torch.mm(items[at : at + _ITEMS], rows, out=out[at : at + _ITEMS])
    return out


def _pull(tile: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, to: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Add ``tile.T @ items`` and ``tile @ rows`` in place to the two tensors ``to``.

    Args:
        tile: float [n_items, n].
        rows: float [n, d].
        items: float [n_items, d].
        to: the tensors to add to, float [n, d] and [n_items, d].
    """
    of_rows, of_items = to
    for at in range(0, len(items), _ITEMS):
        part = slice(at, at + _ITEMS)
        of_rows.addmm_(tile[part].T, items[part])
        of_items[part].addmm_(tile[part], rows)


class TableSoftmax:
    """The softmax of ``encoded @ table.T`` in each row, and first and second derivatives of its cross-entropy.

    ``encoded`` has a vector for each example (row), ``table`` one for each item. Scores are computed in tiles [items,
    rows]: all items for some rows or, for a large table, some items for all rows. Probabilities are kept if ``keep`` is
    True and tiles contain all items. Otherwise they are recomputed whenever they are needed.

    Args:
        encoded: float [n, d], detached.
        table: float [items, d], detached.
        keep: whether to keep the probabilities.

    Attributes:
        top: float [n], the largest score of each row.
        total: float [n], each row's sum of ``exp(score - top)``.
        kept: the probabilities of each tile; empty if they are not kept.
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
        """Yield ``(number, rows, items)`` for each tile: its number from 0, and the slices of rows and items."""
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
        """Return the probabilities in a tile of :meth:`_tiles`, float [items, rows]."""
        if self.kept:
            return self.kept[number]
        return _scores(self.encoded[rows], self.table[items]).sub_(self.top[rows]).exp_().div_(self.total[rows])

    def losses(self, target: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy of each row, float [n], for target items (int64 [n], rows of the table)."""
        right = (self.encoded * self.table[target]).sum(dim=1)
        return self.top - right + self.total.log()

    def pull(
        self, rows_hold: torch.Tensor, items_hold: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``(p - y) items_hold``, float [n, d], and ``(p - y)' rows_hold``, float [items, d].

        ``p`` are the probabilities [n, items], and ``y`` is 1 at the target items and 0 elsewhere, so ``p - y`` is the
        derivative of the summed loss with respect to the scores. With ``rows_hold=encoded`` and ``items_hold=table``
        the results are the gradients with respect to ``encoded`` and ``table``.

        Args:
            rows_hold: float [n, d].
            items_hold: float [items, d].
            target: int64 [n], row of the target item in the table.
        """
        of_rows, of_items = -items_hold[target], torch.zeros_like(self.table)
        for tile in self._tiles():
            _, rows, items = tile
            _pull(self._softmax(*tile), rows_hold[rows], items_hold[items], (of_rows[rows], of_items[items]))
        return of_rows, of_items.index_add_(0, target, rows_hold, alpha=-1)

    def gauss_newton(
        self, rows_move: torch.Tensor, items_move: torch.Tensor, weights: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the product of the Gauss-Newton matrix in ``(encoded, table)`` and a direction: [n, d] and [items, d].

        The loss's Hessian in the scores of one row is ``diag(p) - p p'`` with probabilities ``p``. The product with the
        full Hessian in ``(encoded, table)`` is this result plus that of :meth:`pull` for the direction.

        Args:
            rows_move: float [n, d], the direction's part for ``encoded``.
            items_move: float [items, d], the direction's part for ``table``.
            weights: float [n, 1], weight of each row's loss; 1 by default.
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
        """Return each row's mean of ``left @ [table, items_move].T``, weighted by its probabilities, float [n].

        Args:
            left: float [n, 2 d].
            items_move: float [items, d].
        """
        means = torch.zeros_like(self.top)
        for tile in self._tiles():
            p, items = self._softmax(*tile), tile[2]
            means += (torch.cat([p.T @ self.table[items], p.T @ items_move[items]], dim=1) * left).sum(dim=1)
        return means

    def parts(self) -> tuple[torch.Tensor, ...]:
        """Return all tensors of this object, from which :meth:`of` restores it."""
        return self.encoded, self.table, self.top, self.total, *self.kept

    @classmethod
    def of(cls, encoded: torch.Tensor, table: torch.Tensor, *rest: torch.Tensor) -> "TableSoftmax":
        """Restore an object from its :meth:`parts`."""
        softmax = cls.__new__(cls)
        softmax.encoded, softmax.table = encoded, table
        softmax.top, softmax.total, *kept = rest
        softmax.kept = tuple(kept)
        return softmax


def table_cross_entropy(encoded: torch.Tensor, table: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the softmax cross-entropy of the scores ``encoded @ table.T``, summed over the rows, a scalar.

    It can be differentiated twice. The autograd graph holds the probabilities only if they fit into one tile; otherwise
    they are computed again.

    Args:
        encoded: float [n, d], a vector for each example.
        table: float [items, d], a vector for each item.
        target: int64 [n], row of the target item in the table.
    """
    return _Loss.apply(encoded, table, target)


class _Loss(torch.autograd.Function):
    """The loss of :func:`table_cross_entropy`; its backward pass is :class:`_Slopes`."""

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
    """The gradients of the loss with respect to ``encoded`` and ``table``.

    The backward pass multiplies by the Hessian, and cannot be differentiated itself.
    """

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
