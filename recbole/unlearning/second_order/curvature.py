"""What second-order methods share: gradients and Hessian products in a parameter subspace (solvers are next door).

The operator is fixed for a request: fixed examples, fixed negatives, dropout off. ``H`` is the Hessian of a *sum* of
losses over those examples, in the chosen parameters with all others held still.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from recbole.data import Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.model.table_softmax import TableSoftmax
from recbole.unlearning.second_order.engine import pulled_back
from recbole.unlearning.second_order.subspace import Subspace, flatten_gradient
from recbole.utils.device import full_precision

KEPT_BYTES = 2**31
"""Of what is kept between products: graphs, gradients and probabilities. What is beyond is computed anew at each."""

PART_BYTES = 2**27
"""Of what graphs of pieces save for their derivatives; with more, a part of a product is full."""

Part = Callable[[Sequence[torch.Tensor]], torch.Tensor]
"""From a vector in the parameters' shapes to its image, flat, under some pieces' share of a map."""


@contextlib.contextmanager
def second_order(model: AbstractRecommender) -> Iterator[None]:
    """Dropout off, full precision, and only kernels that can be differentiated twice: no cuDNN, the math attention."""
    training = model.training
    if training:  # it is a walk through all modules
        model.eval()
    try:
        with (
            torch.backends.cudnn.flags(enabled=False),
            torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
            full_precision(),
        ):
            yield
    finally:
        if training:
            model.train()


def gradient(
    subspace: Subspace,
    batches: Sequence[Interaction],
    weights: Sequence[float] | None = None,
    shift: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the gradient of the batches' summed losses, flat; see :func:`loss_and_gradient`."""
    return loss_and_gradient(subspace, batches, weights, shift)[1]


def loss_and_gradient(
    subspace: Subspace,
    batches: Sequence[Interaction],
    weights: Sequence[float] | None = None,
    shift: torch.Tensor | None = None,
) -> tuple[float, torch.Tensor]:
    """Return the batches' summed losses as a number, and their gradient, flat.

    Args:
        subspace: to differentiate in.
        batches: some may be empty.
        weights: what each batch's sum counts; 1 by default.
        shift: flat vector that is added to the parameters first.
    """
    values = subspace.values(shift)
    total, slope = 0.0, torch.zeros(sum(v.numel() for v in values), dtype=values[0].dtype, device=values[0].device)
    for group in _groups(subspace.model, batches, weights):
        loss = subspace.loss(values, *group)
        total += float(loss.detach())
        slope += flatten_gradient(torch.autograd.grad(loss, values, allow_unused=True), values)
    return total, slope


def total_loss(
    subspace: Subspace,
    batches: Sequence[Interaction],
    weights: Sequence[float] | None,
    shift: torch.Tensor | None = None,
) -> float:
    """Return the batches' summed losses as a number; the arguments are those of :func:`gradient`."""
    values = subspace.values(shift)
    with torch.no_grad():
        return sum(float(subspace.loss(values, *group)) for group in _groups(subspace.model, batches, weights))


def _pieces(
    model: AbstractRecommender, batches: Sequence[Interaction], weights: Sequence[float] | None
) -> list[tuple[Interaction, float]]:
    """Return the pieces that a model takes batches in, each with its batch's weight; nothing for an empty one."""
    weighted = zip(batches, weights or [1.0] * len(batches), strict=True)
    return [(piece, weight) for batch, weight in weighted if len(batch) for piece in model.pieces(batch)]


def _groups(
    model: AbstractRecommender, batches: Sequence[Interaction], weights: Sequence[float] | None
) -> list[tuple[Sequence[Interaction], Sequence[float]]]:
    """Return the pieces whose losses are taken together, with their weights: all that share work, or each alone."""
    pieces = _pieces(model, batches, weights)
    if not model.batch_free or not pieces:
        return [((piece,), (weight,)) for piece, weight in pieces]
    return [(tuple(piece for piece, _ in pieces), tuple(weight for _, weight in pieces))]


class _Held:
    """Counts the bytes of what graphs save while it is entered, each storage once."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self.count, lambda tensor: tensor)

    def count(self, tensor: torch.Tensor) -> torch.Tensor:
        """Count a tensor, and return it; a sparse one is a constant, such as a graph, which nothing keeps longer."""
        if tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            self.seen[storage._cdata] = storage.nbytes()  # a tensor without memory of its own has no data_ptr
        return tensor

    def count_all(self, tensors: Sequence[torch.Tensor]) -> None:
        """Count tensors that are kept beside a graph."""
        for tensor in tensors:
            self.count(tensor)

    @property
    def bytes(self) -> int:
        """So far."""
        return sum(self.seen.values())

    def __enter__(self) -> "_Held":
        self._hooks.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._hooks.__exit__(*raised)


class _Product(ABC):
    """``v -> scale * A v``, ``A`` a sum over the pieces that the model takes some fixed batches in.

    Pieces are taken in parts. A part's graph is made at the first product and kept for the later ones, as long as all
    that is kept stays below :data:`KEPT_BYTES`, and the first part's always; the others' are made anew at each product,
    one at a time.

    Args:
        subspace: to differentiate in.
        batches: some may be empty.
        scale: a factor.
        weights: what each batch's sum counts; 1 by default.

    Attributes:
        count: products so far.
    """

    def __init__(
        self,
        subspace: Subspace,
        batches: Sequence[Interaction],
        scale: float = 1.0,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.subspace, self.values = subspace, subspace.values()
        self.scale, self.count = scale, 0
        self.pieces = self._cut(batches, weights)
        self.kept: dict[int, tuple[Part, int]] = {}  # a part, by its first piece, and the first of the next
        self.kept_bytes = 0

    def __call__(self, vector: torch.Tensor) -> torch.Tensor:
        self.count += 1
        shaped, total, at = self.subspace.unflatten(vector), torch.zeros_like(vector), 0
        while at < len(self.pieces):
            part, at = self.kept[at] if at in self.kept else self._made(at)
            total += part(shaped)
            del part
        return total.mul_(self.scale)

    def _made(self, start: int) -> tuple[Part, int]:
        """Return the part that begins with a piece, and the first piece after it."""
        held, traced, at = _Held(), [], start
        with held:
            while at < len(self.pieces) and (at == start or held.bytes < PART_BYTES):
                traced.append(self._trace(*self.pieces[at]))
                at += 1
            part = self._part(traced, held)
        if not self.kept or self.kept_bytes + held.bytes <= KEPT_BYTES:
            self.kept[start] = part, at
            self.kept_bytes += held.bytes
        return part, at

    @abstractmethod
    def _cut(self, batches: Sequence[Interaction], weights: Sequence[float] | None) -> list[tuple[Any, Any]]:
        """Return the pieces, with their weights."""

    @abstractmethod
    def _trace(self, piece: Any, weight: Any) -> Any:
        """Return what a part needs of a piece, with its graph."""

    @abstractmethod
    def _part(self, traced: list[Any], held: _Held) -> Part:
        """Return the part of some traced pieces; what it keeps beside graphs is to be counted."""


class HessianProduct(_Product):
    """``v -> scale * H v`` for the summed losses of fixed batches; see :class:`_Product`."""

    def _cut(self, batches: Sequence[Interaction], weights: Sequence[float] | None) -> list[tuple[Any, Any]]:
        return _groups(self.subspace.model, batches, weights)

    def _trace(self, piece: Sequence[Interaction], weight: Sequence[float]) -> torch.Tensor:
        return self.subspace.loss(self.values, piece, weight)

    def _part(self, traced: list[torch.Tensor], held: _Held) -> Part:
        first = torch.autograd.grad(sum(traced[1:], traced[0]), self.values, create_graph=True, allow_unused=True)
        curved = [place for place, slope in enumerate(first) if slope is not None and slope.requires_grad]
        slopes = [first[place] for place in curved]  # gradients that have derivatives themselves
        held.count_all(slopes)

        def image(shaped: Sequence[torch.Tensor]) -> torch.Tensor:
            if not slopes:
                return flatten_gradient([None] * len(shaped), shaped)
            along = [shaped[place] for place in curved]
            second = pulled_back(slopes, self.values, along)
            return flatten_gradient(second, self.values)

        return image


class _Jacobian:
    """The derivative ``J`` of some tensors in the parameters' values.

    ``J v`` is the derivative of ``u -> J' u``, so backward passes do for both directions.
    """

    def __init__(self, outputs: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
        self.outputs, self.values = outputs, values
        self.live = [at for at, output in enumerate(outputs) if output.requires_grad]  # a table may be held still
        self.u = [output.new_zeros(()).expand(output.shape).requires_grad_() for output in outputs]
        pulled = self._pulled(self.u, create_graph=True)
        self.place = [at for at, part in enumerate(pulled) if part is not None]
        self.pulled = [pulled[at] for at in self.place]

    def _pulled(self, vectors: Sequence[torch.Tensor], create_graph: bool = False) -> tuple[torch.Tensor, ...]:
        outputs, vectors = [self.outputs[at] for at in self.live], [vectors[at] for at in self.live]
        return pulled_back(outputs, self.values, vectors, create_graph)

    def push(self, shaped: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Return ``J v``."""
        along = [shaped[at] for at in self.place]
        pushed = pulled_back(self.pulled, self.u, along)
        return tuple(torch.zeros_like(u) if part is None else part for part, u in zip(pushed, self.u, strict=True))

    def pull(self, slopes: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return ``J' u``, flat."""
        return flatten_gradient(self._pulled(slopes), self.values)


class GaussNewtonProduct(_Product):
    """``v -> scale * J' B J v``: :class:`HessianProduct` without the curvature of the model's outputs.

    N. Schraudolph, "Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent", Neural Computation 2002
    (equation numbers not checked). ``J`` is the Jacobian of the model's ``outputs``, ``B`` the loss's Hessian in them.
    A loss that is convex in the outputs makes it positive semidefinite; outputs that are linear in the chosen
    parameters make it the Hessian. Where the model has ``factors``, ``J`` is their Jacobian, and that of the scores in
    them belongs to ``B``. A model without them must have ``outputs``.
    """

    def _cut(self, batches: Sequence[Interaction], weights: Sequence[float] | None) -> list[tuple[Any, Any]]:
        return _pieces(self.subspace.model, batches, weights)

    def _trace(self, piece: Interaction, weight: float) -> tuple[Any, ...]:
        factors = self.subspace.factors(self.values, piece)
        outputs = self.subspace.outputs(self.values, piece) if factors is None else None
        return factors, outputs, piece, weight

    def _part(self, traced: list[tuple[Any, ...]], held: _Held) -> Part:
        factored = traced[0][0] is not None
        outputs = [factors[0] if factored else own for factors, own, *_ in traced]
        outputs += [traced[0][0][1]] if factored else []  # the table, which the pieces share
        jacobian = _Jacobian(outputs, self.values)
        held.count_all(jacobian.pulled)
        bend = self._of_factors(traced, held) if factored else self._of_outputs(traced)
        return lambda shaped: jacobian.pull(bend(jacobian.push(shaped)))

    def _of_outputs(self, traced: list[tuple[Any, ...]]) -> Callable[..., Any]:
        """Return what the loss's Hessian makes of a change of the pieces' outputs."""
        free = [outputs.detach().requires_grad_() for _, outputs, _, _ in traced]
        losses = [
            weight * self.subspace.model.loss_sum(piece.to(own.device), own)
            for own, (_, _, piece, weight) in zip(free, traced, strict=True)
        ]
        slopes = torch.autograd.grad(sum(losses), free, create_graph=True)
        return lambda pushed: pulled_back(slopes, free, pushed)

    def _of_factors(self, traced: list[tuple[Any, ...]], held: _Held) -> Callable[..., Any]:
        """Return what the softmax's Hessian makes of a change of the pieces' vectors and of the table.

        Its probabilities are kept if there is room for them beside the graphs.
        """
        encoded, table = [factors[0].detach() for factors, *_ in traced], traced[0][0][1].detach()
        sizes, rows = [len(part) for part in encoded], torch.cat(encoded)
        room = KEPT_BYTES - self.kept_bytes - held.bytes
        softmax = TableSoftmax(rows, table, keep=len(rows) * len(table) * rows.element_size() <= room)
        held.count_all(softmax.kept)
        weights = torch.cat([rows.new_full((size, 1), piece[-1]) for size, piece in zip(sizes, traced, strict=True)])

        def bend(pushed: Sequence[torch.Tensor]) -> list[torch.Tensor]:
            *moves, items_move = pushed
            of_rows, of_items = softmax.gauss_newton(torch.cat(moves), items_move, weights)
            return [*of_rows.split(sizes), of_items]

        return bend
