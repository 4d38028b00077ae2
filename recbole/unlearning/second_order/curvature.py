"""What second-order methods share: gradients and Hessian products in a parameter subspace (solvers are next door).

The operator is fixed for a request: fixed examples, fixed negatives, dropout off. ``H`` is the Hessian of a *sum* of
losses over those examples, in the chosen parameters with all others held still.
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
"""Of what is kept between products: graphs, gradients and probabilities. What is beyond is computed anew at each."""

PART_BYTES = 2**27
"""Of what graphs of pieces save for their derivatives; with more, a part of a product is full."""


Answer = TypeVar("Answer")


class Part(NamedTuple):
    """Some pieces' share of a map.

    Attributes:
        image: from a vector in the parameters' shapes to its image, flat.
        here: returns the pieces' weighted losses, a number, and their gradient, flat, where the map is taken.
    """

    image: Callable[[Sequence[torch.Tensor]], torch.Tensor]
    here: Callable[[], tuple[float, torch.Tensor]]


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


def cut_by(
    cut: Callable[[Interaction], Sequence[Interaction]],
    batches: Sequence[Interaction],
    weights: Sequence[float] | None,
) -> list[tuple[Interaction, float]]:
    """Return the pieces that a model's method cuts batches into, each with its batch's weight; none of an empty one."""
    weighted = zip(batches, weights or [1.0] * len(batches), strict=True)
    return [(piece, weight) for batch, weight in weighted if len(batch) for piece in cut(batch)]


def _groups(
    model: AbstractRecommender, batches: Sequence[Interaction], weights: Sequence[float] | None
) -> list[tuple[Sequence[Interaction], Sequence[float]]]:
    """Return the pieces whose losses are taken together, with their weights: all that share work, or each alone."""
    pieces = cut_by(model.pieces, batches, weights)
    if not model.batch_free or not pieces:
        return [((piece,), (weight,)) for piece, weight in pieces]
    return [(tuple(piece for piece, _ in pieces), tuple(weight for _, weight in pieces))]


class Held:
    """Counts the bytes of what graphs save while it is entered, each storage once.

    Storages are held meanwhile: the address of one that is freed would be the next one's.

    Attributes:
        bytes: so far.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._seen: dict[int, torch.UntypedStorage] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self.count, lambda tensor: tensor)

    def count(self, tensor: torch.Tensor) -> torch.Tensor:
        """Count a tensor, and return it; a sparse one is a constant, such as a graph, which nothing keeps longer.

        What is returned is kept in place of the tensor: detached, as torch asks for, since a node that saved its own
        output with its graph would be a reference cycle that nothing ever frees. Torch attaches the graph again.
        """
        if tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            if storage._cdata not in self._seen:  # a tensor without memory of its own has no data_ptr
                self._seen[storage._cdata] = storage
                self.bytes += storage.nbytes()
        return tensor.detach()

    def count_all(self, tensors: Sequence[torch.Tensor]) -> None:
        """Count tensors that are kept beside a graph."""
        for tensor in tensors:
            self.count(tensor)

    def __enter__(self) -> "Held":
        self._hooks.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._hooks.__exit__(*raised)
        self._seen.clear()


class Product(ABC):
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
        shaped, total = self.subspace.unflatten(vector), torch.zeros_like(vector)
        for image in self._each(lambda part: part.image(shaped)):
            total += image
        return total.mul_(self.scale)

    def loss_and_gradient(self) -> tuple[float, torch.Tensor]:
        """Return what :func:`loss_and_gradient` does, times ``scale``, from the graphs that products are taken of."""
        total, slope = 0.0, flatten_gradient([None] * len(self.values), self.values)
        for loss, own in self._each(lambda part: part.here()):
            total += loss
            slope += own
        return total * self.scale, slope.mul_(self.scale)

    def _each(self, asked: Callable[[Part], Answer]) -> Iterator[Answer]:
        """Yield what each part answers; one that is not kept is gone before the next is made."""
        at = 0
        while at < len(self.pieces):
            part, at = self.kept[at] if at in self.kept else self._made(at)
            answer = asked(part)
            del part
            yield answer

    def _made(self, start: int) -> tuple[Part, int]:
        """Return the part that begins with a piece, and the first piece after it."""
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
        """Return how many bytes more may be kept beside what is, and what is held."""
        return KEPT_BYTES - self.kept_bytes - held.bytes

    @abstractmethod
    def _cut(self, batches: Sequence[Interaction], weights: Sequence[float] | None) -> list[tuple[Any, Any]]:
        """Return the pieces, with their weights."""

    @abstractmethod
    def _trace(self, piece: Any, weight: Any) -> Any:
        """Return what a part needs of a piece, with its graph."""

    @abstractmethod
    def _part(self, traced: list[Any], held: Held) -> Part:
        """Return the part of some traced pieces; what it keeps beside graphs is to be counted."""


class HessianProduct(Product):
    """``v -> scale * H v`` for the summed losses of fixed batches; see :class:`Product`."""

    def _cut(self, batches: Sequence[Interaction], weights: Sequence[float] | None) -> list[tuple[Any, Any]]:
        return _groups(self.subspace.model, batches, weights)

    def _trace(self, piece: Sequence[Interaction], weight: Sequence[float]) -> torch.Tensor:
        return self.subspace.loss(self.values, piece, weight)

    def _part(self, traced: list[torch.Tensor], held: Held) -> Part:
        loss = sum(traced[1:], traced[0])
        values = self.values  # not the product itself: what it keeps must not hold it
        first = torch.autograd.grad(loss, values, create_graph=True, allow_unused=True)
        curved = [place for place, slope in enumerate(first) if slope is not None and slope.requires_grad]
        slopes = [first[place] for place in curved]  # gradients that have derivatives themselves
        held.count_all([slope for slope in first if slope is not None])
        total = float(loss.detach())

        def image(shaped: Sequence[torch.Tensor]) -> torch.Tensor:
            if not slopes:
                return flatten_gradient([None] * len(shaped), shaped)
            along = [shaped[place] for place in curved]
            return flatten_gradient(pulled_back(slopes, values, along), values)

        return Part(image, lambda: (total, flatten_gradient(first, values).detach()))
