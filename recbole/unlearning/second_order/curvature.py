"""Gradients and Hessian-vector products with respect to some of a model's parameters, for second-order methods.

``H`` is the Hessian of the *sum* of the losses over given batches, with respect to the parameters in a
:class:`~recbole.unlearning.second_order.subspace.Subspace`; all other parameters are constant. While a request is
answered ``H`` does not change: examples and negatives are fixed, and dropout is off. A *flat vector* is a float tensor
of one dimension that holds one number for each of these parameters.
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
"""Largest size in bytes of the autograd graphs and other tensors that a product keeps between calls.

Whatever does not fit is computed again at each call.
"""

PART_BYTES = 2**27
"""Pieces of data are added to a part of a product until the part's autograd graphs have saved this many bytes."""


Answer = TypeVar("Answer")


class Part(NamedTuple):
    """The contribution of some pieces of the data (small batches) to a matrix-vector product.

    Attributes:
        image: function that maps a vector, given as tensors of the parameters' shapes, to the product of the part's
            matrix with it, a flat vector.
        here: function that returns the weighted sum of the pieces' losses (a number) and its gradient (a flat vector)
            at the current parameters.
    """

    image: Callable[[Sequence[torch.Tensor]], torch.Tensor]
    here: Callable[[], tuple[float, torch.Tensor]]


@contextlib.contextmanager
def second_order(model: AbstractRecommender) -> Iterator[None]:
    """Context manager in which second derivatives of a model's loss can be computed.

    Dropout is off, computations are in full float32 precision, and cuDNN and fused attention are off, because torch can
    differentiate them only once. The model's training mode is restored afterwards.
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
    """Return the gradient of the weighted sum of the batches' losses, a flat vector.

    The arguments are those of :func:`loss_and_gradient`.
    """
    return loss_and_gradient(subspace, batches, weights, shift)[1]


def loss_and_gradient(
    subspace: Subspace,
    batches: Sequence[Interaction],
    weights: Sequence[float] | None = None,
    shift: torch.Tensor | None = None,
) -> tuple[float, torch.Tensor]:
    """Return the weighted sum of the batches' losses (a number), and its gradient (a flat vector).

    Args:
        subspace: the parameters to differentiate by.
        batches: batches of examples with negatives; empty ones are allowed.
        weights: weight of each batch's loss, summed over its rows; ``None`` for 1.
        shift: flat vector; loss and gradient are computed at the current parameters plus this vector. ``None`` adds
            nothing. The model itself does not change.
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
    """Return the weighted sum of the batches' losses, a number, without computing a gradient.

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
    """Split batches into smaller ones (pieces); return each piece with the weight of the batch that it is from.

    Args:
        cut: the model's method that splits a batch, such as ``model.pieces``.
        batches: batches of examples; empty ones have no pieces.
        weights: weight of each batch's loss sum; ``None`` for 1.
    """
    weighted = zip(batches, weights or [1.0] * len(batches), strict=True)
    return [(piece, weight) for batch, weight in weighted if len(batch) for piece in cut(batch)]


def _groups(
    model: AbstractRecommender, batches: Sequence[Interaction], weights: Sequence[float] | None
) -> list[tuple[Sequence[Interaction], Sequence[float]]]:
    """Split batches into smaller ones (pieces); return groups of pieces with their weights.

    The losses in a group are computed together. All pieces form one group if the model can share work between batches,
    such as a graph propagation (``batch_free``); otherwise each piece is a group. Arguments are as in :func:`cut_by`.
    """
    pieces = cut_by(model.pieces, batches, weights)
    if not model.batch_free or not pieces:
        return [((piece,), (weight,)) for piece, weight in pieces]
    return [(tuple(piece for piece, _ in pieces), tuple(weight for _, weight in pieces))]


class Held:
    """Context manager that counts the bytes of the tensors that autograd graphs save inside its block.

    Tensors that share a storage count once. All counted storages are kept alive until the block ends, because a later
    tensor could otherwise get the address of a freed storage.

    Attributes:
        bytes: number of bytes counted so far.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._seen: dict[int, torch.UntypedStorage] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self.count, lambda tensor: tensor)

    def count(self, tensor: torch.Tensor) -> torch.Tensor:
        """Count the bytes of a tensor that an autograd graph is about to save, and return the tensor to save, detached.

        Sparse tensors, such as the adjacency matrix of a graph model, are not counted. Torch requires the returned
        tensor to be detached: a node that saved its own output together with the autograd graph would form a reference
        cycle and never be freed. Torch attaches the autograd graph again when the saved tensor is used.
        """
        if tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            if storage._cdata not in self._seen:  # data_ptr() fails for tensors without memory
                self._seen[storage._cdata] = storage
                self.bytes += storage.nbytes()
        return tensor.detach()

    def count_all(self, tensors: Sequence[torch.Tensor]) -> None:
        """Add the bytes of tensors to the count, for tensors that stay in memory beside those that autograd saves."""
        for tensor in tensors:
            self.count(tensor)

    def __enter__(self) -> "Held":
        self._hooks.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._hooks.__exit__(*raised)
        self._seen.clear()


class Product(ABC):
    """Base class of matrix-vector products ``v -> scale * A v``, where the matrix ``A`` is a sum over fixed batches.

    An object is called with a flat vector ``v`` and returns a flat vector. The model splits the batches into pieces
    (small batches), and successive pieces are grouped into parts. The autograd graph of a part is built when it is
    first needed. It is kept for later products if everything that is kept stays within :data:`KEPT_BYTES`; the graph of
    the first part is always kept. Graphs that are not kept are built again for each product, one at a time.

    Args:
        subspace: the parameters to differentiate by.
        batches: batches of examples with negatives; empty ones are allowed.
        scale: factor by which all results are multiplied.
        weights: weight of each batch's loss sum; ``None`` for 1.

    Attributes:
        count: number of matrix-vector products so far.
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
        self.kept: dict[int, tuple[Part, int]] = {}  # index of first piece to (part, index of the next part's)
        self.kept_bytes = 0

    def __call__(self, vector: torch.Tensor) -> torch.Tensor:
        self.count += 1
        shaped, total = self.subspace.unflatten(vector), torch.zeros_like(vector)
        for image in self._each(lambda part: part.image(shaped)):
            total += image
        return total.mul_(self.scale)

    def loss_and_gradient(self) -> tuple[float, torch.Tensor]:
        """Return the weighted sum of the batches' losses (a number) and its gradient (a flat vector), times ``scale``.

        Both are computed at the current parameters, from the same autograd graphs as the products.
        """
        total, slope = 0.0, flatten_gradient([None] * len(self.values), self.values)
        for loss, own in self._each(lambda part: part.here()):
            total += loss
            slope += own
        return total * self.scale, slope.mul_(self.scale)

    def _each(self, asked: Callable[[Part], Answer]) -> Iterator[Answer]:
        """Call a function with each part, and yield the results. A part that is not kept is freed before the next."""
        at = 0
        while at < len(self.pieces):
            part, at = self.kept[at] if at in self.kept else self._made(at)
            answer = asked(part)
            del part
            yield answer

    def _made(self, start: int) -> tuple[Part, int]:
        """Build a part, and keep it if there is room.

        Args:
            start: index in ``self.pieces`` of the part's first piece.

        Returns:
            The part, and the index of the next part's first piece.
        """
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
        """Return how many bytes may still be kept, besides what is kept already and what ``held`` has counted.

        A negative number means that the limit :data:`KEPT_BYTES` is exceeded.
        """
        return KEPT_BYTES - self.kept_bytes - held.bytes

    @abstractmethod
    def _cut(self, batches: Sequence[Interaction], weights: Sequence[float] | None) -> list[tuple[Any, Any]]:
        """Split batches into pieces, and return each piece with its weight, in a form that :meth:`_trace` accepts."""

    @abstractmethod
    def _trace(self, piece: Any, weight: Any) -> Any:
        """Run the model on a piece, and return the loss or outputs with their autograd graph, for :meth:`_part`."""

    @abstractmethod
    def _part(self, traced: list[Any], held: Held) -> Part:
        """Return the part that consists of some pieces.

        Args:
            traced: what :meth:`_trace` returned for each of the pieces.
            held: counts bytes. An implementation must count in it the tensors that the part keeps in addition to what
                autograd graphs save.
        """


class HessianProduct(Product):
    """Hessian-vector products ``v -> scale * H v``, with ``H`` the Hessian of the weighted sum of batches' losses.

    Arguments and attributes are those of :class:`Product`.
    """

    def _cut(self, batches: Sequence[Interaction], weights: Sequence[float] | None) -> list[tuple[Any, Any]]:
        return _groups(self.subspace.model, batches, weights)

    def _trace(self, piece: Sequence[Interaction], weight: Sequence[float]) -> torch.Tensor:
        return self.subspace.loss(self.values, piece, weight)

    def _part(self, traced: list[torch.Tensor], held: Held) -> Part:
        loss = sum(traced[1:], traced[0])
        values = self.values  # `image` must not refer to self: self keeps it, which would be a reference cycle
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
