"""Gradients and Hessian-vector products in a parameter subspace, for second-order methods.

The operator is fixed for a request: fixed examples, fixed negatives, no dropout. ``H`` is the Hessian of the *sum* of
the losses over these examples, in the subspace's parameters, with all other parameters fixed.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import torch

from recbole.data import Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.second_order.engine import pulled_back
from recbole.unlearning.second_order.subspace import Subspace, flatten_gradient
from recbole.utils.device import full_precision

KEPT_BYTES = 2**31
"""Largest size of the graphs, gradients and probabilities kept between products; the rest is recomputed each time."""

PART_BYTES = 2**27
"""Size of the tensors that graphs save at which a part of a product takes no further piece."""


Answer = TypeVar("Answer")


class Part(NamedTuple):
    """The share of some pieces of the data in a map.

    Attributes:
        image: maps a vector, given in the parameters' shapes, to its image as a flat vector.
        here: returns the pieces' weighted loss (a number) and its flat gradient at the current parameters.
    """

    image: Callable[[Sequence[torch.Tensor]], torch.Tensor]
    here: Callable[[], tuple[float, torch.Tensor]]


@contextlib.contextmanager
def second_order(model: AbstractRecommender) -> Iterator[None]:
    """Prepare a block for second derivatives: no dropout, full precision, and twice differentiable kernels only.

    That excludes cuDNN and fused attention.
    """
    training = model.training
    if training:  # eval() visits all modules, which takes time
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
    """Return the flat gradient of the batches' summed losses.

    The arguments are those of :func:`loss_and_gradient`.
    """
    return loss_and_gradient(subspace, batches, weights, shift)[1]


def loss_and_gradient(
    subspace: Subspace,
    batches: Sequence[Interaction],
    weights: Sequence[float] | None = None,
    shift: torch.Tensor | None = None,
) -> tuple[float, torch.Tensor]:
    """Return the batches' summed losses (a number), and their flat gradient.

    Args:
        subspace: the parameters to differentiate by.
        batches: batches of examples; empty ones are allowed.
        weights: weight of each batch's loss sum; ``None`` for 1.
        shift: flat vector that is added to the parameters first; ``None`` adds nothing.
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
    """Return the batches' summed losses, a number.

    The arguments are those of :func:`loss_and_gradient`.
    """
    values = subspace.values(shift)
    with torch.no_grad():
        return sum(float(subspace.loss(values, *group)) for group in _groups(subspace.model, batches, weights))


def cut_by(
    cut: Callable[[Interaction], Sequence[Interaction]],
    batches: Sequence[Interaction],
    weights: Sequence[float] | None,
) -> list[tuple[Interaction, float]]:
    """Return the pieces into which a model's method splits batches, each with the weight of its batch.

    Args:
        cut: the method, such as ``model.pieces``.
        batches: batches of examples; empty ones have no pieces.
        weights: weight of each batch's loss sum; ``None`` for 1.
    """
    weighted = zip(batches, weights or [1.0] * len(batches), strict=True)
    return [(piece, weight) for batch, weight in weighted if len(batch) for piece in cut(batch)]


def _groups(
    model: AbstractRecommender, batches: Sequence[Interaction], weights: Sequence[float] | None
) -> list[tuple[Sequence[Interaction], Sequence[float]]]:
    """Return groups of pieces whose losses are computed together, with their weights.

    Pieces that can share work, such as a graph propagation, form one group; otherwise each piece is a group.
    """
    pieces = cut_by(model.pieces, batches, weights)
    if not model.batch_free or not pieces:
        return [((piece,), (weight,)) for piece, weight in pieces]
    return [(tuple(piece for piece, _ in pieces), tuple(weight for _, weight in pieces))]


class Held:
    """Counts the bytes of the tensors that autograd graphs save while this context is entered, each storage once.

    The storages are kept alive meanwhile, because the address of a freed one may be used again.

    Attributes:
        bytes: number of bytes so far.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._seen: dict[int, torch.UntypedStorage] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self.count, lambda tensor: tensor)

    def count(self, tensor: torch.Tensor) -> torch.Tensor:
        """Count a tensor, and return it detached. Sparse tensors are constants such as a graph, and are not counted.

        The graph keeps what is returned in place of the tensor. It is detached, as torch requires: a node that saved
        its own output together with its graph would be a reference cycle, and never be freed. Torch attaches the graph
        again when the tensor is used.
        """
        if tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            if storage._cdata not in self._seen:  # a tensor that has no memory of its own has no data_ptr
                self._seen[storage._cdata] = storage
                self.bytes += storage.nbytes()
        return tensor.detach()

    def count_all(self, tensors: Sequence[torch.Tensor]) -> None:
        """Count tensors that are kept in addition to a graph."""
        for tensor in tensors:
            self.count(tensor)

    def __enter__(self) -> "Held":
        self._hooks.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._hooks.__exit__(*raised)
        self._seen.clear()


class Product(ABC):
    """The map ``v -> scale * A v``, where ``A`` is a sum over the pieces into which the model splits fixed batches.

    Pieces are grouped into parts. A part's graph is built at the first product. It is kept for later products as long
    as everything kept stays below :data:`KEPT_BYTES`; that of the first part is always kept. The others are rebuilt at
    each product, one at a time.

    Args:
        subspace: the parameters to differentiate by.
        batches: batches of examples; empty ones are allowed.
        scale: a factor.
        weights: weight of each batch's loss sum; ``None`` for 1.

    Attributes:
        count: number of products so far.
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
        self.kept: dict[int, tuple[Part, int]] = {}  # first piece to its part and the next part's first piece
        self.kept_bytes = 0

    def __call__(self, vector: torch.Tensor) -> torch.Tensor:
        self.count += 1
        shaped, total = self.subspace.unflatten(vector), torch.zeros_like(vector)
        for image in self._each(lambda part: part.image(shaped)):
            total += image
        return total.mul_(self.scale)

    def loss_and_gradient(self) -> tuple[float, torch.Tensor]:
        """Return the batches' summed losses (a number) and their flat gradient, both times ``scale``.

        They are taken from the graphs that products use.
        """
        total, slope = 0.0, flatten_gradient([None] * len(self.values), self.values)
        for loss, own in self._each(lambda part: part.here()):
            total += loss
            slope += own
        return total * self.scale, slope.mul_(self.scale)

    def _each(self, asked: Callable[[Part], Answer]) -> Iterator[Answer]:
        """Apply a function to each part, and yield the results. A part that is not kept is freed before the next."""
        at = 0
        while at < len(self.pieces):
            part, at = self.kept[at] if at in self.kept else self._made(at)
            answer = asked(part)
            del part
            yield answer

    def _made(self, start: int) -> tuple[Part, int]:
        """Build the part that begins with piece ``start``; return it and the first piece of the next part."""
        held, traced, at = Held(), [], start
        with held:
            while at < len(self.pieces) and (at == start or held.bytes < PART_BYTES):
                traced.append(self._trace(*self.pieces[at]))
                at += 1
            part = self._part(traced, held)
        if not self.kept or self.room(held) >= 0:
            self.kept[start] = part, at
            self.kept_bytes += held.bytes
        return part, at

    def room(self, held: Held) -> int:
        """Return how many more bytes may be kept, in addition to what is kept already and what ``held`` counted."""
        return KEPT_BYTES - self.kept_bytes - held.bytes

    @abstractmethod
    def _cut(self, batches: Sequence[Interaction], weights: Sequence[float] | None) -> list[tuple[Any, Any]]:
        """Split batches into pieces, and return these with their weights."""

    @abstractmethod
    def _trace(self, piece: Any, weight: Any) -> Any:
        """Run the model on a piece, and return what a part needs of it, with its graph."""

    @abstractmethod
    def _part(self, traced: list[Any], held: Held) -> Part:
        """Return the part of some traced pieces. Tensors kept in addition to graphs must be counted in ``held``."""


class HessianProduct(Product):
    """The map ``v -> scale * H v`` with the Hessian H of the loss summed over fixed batches; see :class:`Product`."""

    def _cut(self, batches: Sequence[Interaction], weights: Sequence[float] | None) -> list[tuple[Any, Any]]:
        return _groups(self.subspace.model, batches, weights)

    def _trace(self, piece: Sequence[Interaction], weight: Sequence[float]) -> torch.Tensor:
        return self.subspace.loss(self.values, piece, weight)

    def _part(self, traced: list[torch.Tensor], held: Held) -> Part:
        loss = sum(traced[1:], traced[0])
        values = self.values  # the closure must not refer to the product, which keeps it: a reference cycle
        first = torch.autograd.grad(loss, values, create_graph=True, allow_unused=True)
        curved = [place for place, slope in enumerate(first) if slope is not None and slope.requires_grad]
        slopes = [first[place] for place in curved]  # gradients that can be differentiated again
        held.count_all([slope for slope in first if slope is not None])
        total = float(loss.detach())

        def image(shaped: Sequence[torch.Tensor]) -> torch.Tensor:
            if not slopes:
                return flatten_gradient([None] * len(shaped), shaped)
            along = [shaped[place] for place in curved]
            return flatten_gradient(pulled_back(slopes, values, along), values)

        return Part(image, lambda: (total, flatten_gradient(first, values).detach()))
