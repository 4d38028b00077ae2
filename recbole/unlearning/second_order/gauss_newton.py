"""Matrix-vector products with the Gauss-Newton approximation of the Hessian of a loss."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from recbole.data import Interaction
from recbole.model.table_softmax import TableSoftmax
from recbole.unlearning.second_order.curvature import Held, Part, Product, cut_by
from recbole.unlearning.second_order.engine import pulled_back
from recbole.unlearning.second_order.subspace import flatten_gradient


class _Jacobian:
    """The Jacobian ``J`` of some tensors (outputs) with respect to parameters, given by its products with vectors.

    ``J v`` is computed as the derivative of ``u -> J' u`` (``'`` means transposed), so only backward passes are needed.

    Args:
        outputs: the tensors, with their autograd graphs.
        values: the values of the parameters, from which the outputs were computed.
    """

    def __init__(self, outputs: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
        self.outputs, self.values = outputs, values
        self.live = [at for at, output in enumerate(outputs) if output.requires_grad]  # leaves out a constant table
        self.u = [output.new_zeros(()).expand(output.shape).requires_grad_() for output in outputs]
        pulled = self._pulled(self.u, create_graph=True)
        self.place = [at for at, part in enumerate(pulled) if part is not None]
        self.pulled = [pulled[at] for at in self.place]

    def _pulled(self, vectors: Sequence[torch.Tensor], create_graph: bool = False) -> tuple[torch.Tensor, ...]:
        outputs, vectors = [self.outputs[at] for at in self.live], [vectors[at] for at in self.live]
        return pulled_back(outputs, self.values, vectors, create_graph)

    def push(self, shaped: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Return ``J v`` as one tensor per output, for a vector ``v`` given as tensors of the parameters' shapes."""
        along = [shaped[at] for at in self.place]
        pushed = pulled_back(self.pulled, self.u, along)
        return tuple(torch.zeros_like(u) if part is None else part for part, u in zip(pushed, self.u, strict=True))

    def pull(self, slopes: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return ``J' u`` as a flat vector, for a ``u`` given as one tensor per output."""
        return flatten_gradient(self._pulled(slopes), self.values)


class _Tail(NamedTuple):
    """The loss of a part of the data as a function of the model's outputs, with first and second derivatives.

    The outputs are one tensor per piece of the data or, for a model with ``factors``, one encoding per piece and the
    item table.

    Attributes:
        loss: the loss at the current outputs, a number.
        slopes: function that returns the gradient of the loss with respect to the outputs, one tensor per output.
        bend: function that multiplies a vector by the Hessian of the loss with respect to the outputs. Vector and
            product are given as one tensor per output. For a model with ``factors``, the Hessian leaves out the second
            derivatives of the scores with respect to the encodings and the item table.
    """

    loss: float
    slopes: Callable[[], Sequence[torch.Tensor]]
    bend: Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]]


class GaussNewtonProduct(Product):
    """Gauss-Newton products ``v -> scale * J' B J v``, which approximate Hessian-vector products.

    ``J`` is the Jacobian of the model's ``outputs`` with respect to the parameters, ``J'`` its transpose, and ``B`` the
    Hessian of the loss with respect to these outputs. The approximation leaves out the second derivatives of the
    outputs. ``J' B J`` is positive semidefinite for a loss that is convex in the outputs, and equals the Hessian for
    outputs that are linear in the parameters. N. Schraudolph, "Fast Curvature Matrix-Vector Products for Second-Order
    Gradient Descent", Neural Computation 2002 (equation numbers not checked).

    A model may have ``factors`` instead: encodings of the inputs and an item table, whose inner products are the
    scores. Then ``J`` is the Jacobian of the factors with respect to the parameters, and ``B`` is the product of the
    Jacobian of the scores with respect to the factors (transposed), the Hessian of the loss with respect to the scores,
    and this Jacobian. The model must have ``outputs`` or ``factors``. Arguments and attributes are those of
    :class:`Product`.
    """

    def _cut(self, batches: Sequence[Interaction], weights: Sequence[float] | None) -> list[tuple[Any, Any]]:
        return cut_by(self.subspace.model.factor_pieces, batches, weights)

    def _trace(self, piece: Interaction, weight: float) -> tuple[Any, ...]:
        factors = self.subspace.factors(self.values, piece)
        outputs = self.subspace.outputs(self.values, piece) if factors is None else None
        return factors, outputs, piece, weight

    def _part(self, traced: list[tuple[Any, ...]], held: Held) -> Part:
        factored = traced[0][0] is not None
        outputs = [factors[0] if factored else own for factors, own, *_ in traced]
        outputs += [traced[0][0][1]] if factored else []  # the item table, the same for all pieces
        jacobian = _Jacobian(outputs, self.values)
        held.count_all(jacobian.pulled)
        tail = self._of_factors(traced, held) if factored else self._of_outputs(traced)
        return Part(
            lambda shaped: jacobian.pull(tail.bend(jacobian.push(shaped))),
            lambda: (tail.loss, jacobian.pull(tail.slopes())),
        )

    def _of_outputs(self, traced: list[tuple[Any, ...]]) -> _Tail:
        """Return the weighted loss of some pieces as a function of the model's outputs on them.

        Args:
            traced: what :meth:`_trace` returned for each piece.
        """
        free = [outputs.detach().requires_grad_() for _, outputs, _, _ in traced]
        losses = [
            weight * self.subspace.model.loss_sum(piece.to(own.device), own)
            for own, (_, _, piece, weight) in zip(free, traced, strict=True)
        ]
        loss = sum(losses[1:], losses[0])
        slopes = torch.autograd.grad(loss, free, create_graph=True)
        return _Tail(
            float(loss.detach()),
            lambda: [slope.detach() for slope in slopes],
            lambda pushed: pulled_back(slopes, free, pushed),
        )

    def _of_factors(self, traced: list[tuple[Any, ...]], held: Held) -> _Tail:
        """Return the weighted softmax cross-entropy of some pieces as a function of their encodings and the item table.

        Args:
            traced: what :meth:`_trace` returned for each piece.
            held: counts bytes. If there is room for the softmax probabilities too, they are kept and counted in it.
        """
        encoded, table = [factors[0].detach() for factors, *_ in traced], traced[0][0][1].detach()
        sizes, rows = [len(part) for part in encoded], torch.cat(encoded)
        keep = len(rows) * len(table) * rows.element_size() <= self.room(held)
        softmax = TableSoftmax(rows, table, keep)
        held.count_all(softmax.kept)
        weights = torch.cat([rows.new_full((size, 1), piece[-1]) for size, piece in zip(sizes, traced, strict=True)])
        target = torch.cat([factors[2] for factors, *_ in traced])

        def slopes() -> list[torch.Tensor]:
            of_rows, of_items = softmax.pull(weights * rows, table, target)
            return [*of_rows.mul_(weights).split(sizes), of_items]

        def bend(pushed: Sequence[torch.Tensor]) -> list[torch.Tensor]:
            *moves, items_move = pushed
            of_rows, of_items = softmax.gauss_newton(torch.cat(moves), items_move, weights)
            return [*of_rows.split(sizes), of_items]

        losses = softmax.losses(target) * weights.squeeze(1)
        return _Tail(float(losses.sum(dtype=torch.float64)), slopes, bend)
