"""What second-order methods share: gradients and Hessian products in a parameter subspace (solvers are next door).

The operator is fixed for a request: fixed examples, fixed negatives, dropout off. ``H`` is the Hessian of a *sum* of
losses over those examples, in the chosen parameters with all others held still.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from recbole.data import Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.second_order.engine import pulled_back
from recbole.unlearning.second_order.subspace import Subspace, flatten_gradient
from recbole.utils.device import full_precision


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


class HessianProduct:
    """``v -> scale * H v`` for the summed losses of fixed batches; the graph is kept between products.

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
        self.first, self.place = [], []  # gradients that have derivatives themselves, and of which parameter each is
        for group in _groups(subspace.model, batches, weights):
            loss = subspace.loss(self.values, *group)
            first = torch.autograd.grad(loss, self.values, create_graph=True, allow_unused=True)
            curved = [place for place, part in enumerate(first) if part is not None and part.requires_grad]
            self.first += [first[place] for place in curved]
            self.place += curved

    def __call__(self, vector: torch.Tensor) -> torch.Tensor:
        self.count += 1
        if not self.first:
            return torch.zeros_like(vector)
        parts = self.subspace.unflatten(vector)
        parts = [parts[place] for place in self.place]
        second = pulled_back(self.first, self.values, parts)
        return flatten_gradient(second, self.values).mul_(self.scale)


class GaussNewtonProduct:
    """``v -> scale * J' B J v``: :class:`HessianProduct` without the curvature of the model's outputs.

    N. Schraudolph, "Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent", Neural Computation 2002
    (equation numbers not checked). ``J`` is the Jacobian of the model's ``outputs``, ``B`` the loss's Hessian in them.
    A loss that is convex in the outputs makes it positive semidefinite; outputs that are linear in the chosen
    parameters make it the Hessian. ``J v`` is the derivative of ``u -> J' u``, so backward passes do for everything.

    Args:
        subspace: to differentiate in; its model must have ``outputs``.
        batches: some may be empty.
        scale: a factor.
        weights: what each batch's sum counts; 1 by default.
    """

    def __init__(
        self,
        subspace: Subspace,
        batches: Sequence[Interaction],
        scale: float = 1.0,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.subspace, self.values, self.scale = subspace, subspace.values(), scale
        self.parts = [self._part(*piece) for piece in _pieces(subspace.model, batches, weights)]

    def _part(self, batch: Interaction, weight: float) -> tuple[Any, ...]:
        """Return what a product needs of a batch: outputs, ``u``, where ``J' u`` is not zero, ``J' u``, and slopes."""
        outputs = self.subspace.outputs(self.values, batch)
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = pulled_back([outputs], self.values, [u], create_graph=True)
        place = [at for at, part in enumerate(pulled) if part is not None]
        free = outputs.detach().requires_grad_()
        loss = weight * self.subspace.model.loss_sum(batch.to(free.device), free)
        slopes = torch.autograd.grad(loss, free, create_graph=True)[0]
        return outputs, u, place, [pulled[at] for at in place], free, slopes

    def __call__(self, vector: torch.Tensor) -> torch.Tensor:
        parts, total = self.subspace.unflatten(vector), torch.zeros_like(vector)
        for outputs, u, place, pulled, free, slopes in self.parts:
            (pushed,) = pulled_back(pulled, [u], [parts[at] for at in place])
            (bent,) = pulled_back([slopes], [free], [pushed])
            image = pulled_back([outputs], self.values, [bent])
            total += flatten_gradient(image, self.values)
        return total.mul_(self.scale)
