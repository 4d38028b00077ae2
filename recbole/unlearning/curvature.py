"""What second-order methods share: a parameter subspace, gradients, Hessian products, and a solver.

The operator is fixed for a request: fixed examples, fixed negatives, dropout off. ``H`` is the Hessian of a *sum* of
losses over those examples, in the chosen parameters with all others held still.
"""

import contextlib
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call

from recbole.data import Interaction


class _LossModule(nn.Module):
    """Lets ``functional_call`` reach a model's loss."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch):
        return self.model.loss_sum(batch)


class Subspace:
    """The parameters that a request may move, as one flat vector.

    A table that the model reads only through look-ups (``row_tables``) takes part with the rows that the batches look
    up, and with a table of just those rows in the computation. The gradient and the Hessian of the batches' losses
    are zero in every other row, where the damped solution ``(H + damping I)^-1 g`` is therefore zero too: leaving the
    rows out is exact, and the cost does not depend on the size of the catalogue.

    Args:
        model: a recommender.
        names: names of the chosen parameters; all parameters if empty.
        batches: every batch whose loss will be taken.
    """

    def __init__(self, model, names, batches):
        self.model = model
        parameters = dict(model.named_parameters())
        self.names = tuple(names) or tuple(n for n, p in parameters.items() if p.requires_grad)
        self.rows = {n: self._rows(model.row_tables[n], batches) for n in self.names if n in model.row_tables}
        self.parameters = {n: parameters[n] for n in self.names}
        self._module = _LossModule(model)
        self._fields = {field: n for n in self.rows for field in model.row_tables[n]}

    def _rows(self, fields, batches):
        ids = [batch[field].reshape(-1) for batch in batches for field in fields if field in batch]
        device = next(self.model.parameters()).device
        return torch.unique(torch.cat([torch.zeros(1, dtype=torch.int64), *ids])).to(device)  # row 0 is the padding

    def values(self):
        """Return copies of the chosen parameters (their chosen rows), as a list of leaf tensors."""
        chosen = [p.detach()[self.rows[n]] if n in self.rows else p.detach() for n, p in self.parameters.items()]
        return [value.clone().requires_grad_() for value in chosen]

    def loss(self, values, batch):
        """Return the loss sum of a batch as a function of the chosen parameters' values."""
        swapped = {f"model.{name}": value for name, value in zip(self.names, values, strict=True)}
        return functional_call(self._module, swapped, (self._renumber(batch.to(values[0].device)),))

    def _renumber(self, batch):
        columns = {
            field: torch.searchsorted(self.rows[self._fields[field]], batch[field]) if field in self._fields else column
            for field, column in batch.interaction.items()
        }
        return Interaction(columns)

    def unflatten(self, vector):
        """Split a flat vector into the chosen parameters' shapes."""
        shapes = [
            (len(self.rows[n]), *p.shape[1:]) if n in self.rows else tuple(p.shape) for n, p in self.parameters.items()
        ]
        parts = torch.split(vector, [int(torch.Size(shape).numel()) for shape in shapes])
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def add(self, vector):
        """Add a flat vector to the model's parameters, in place."""
        with torch.no_grad():
            for (name, parameter), part in zip(self.parameters.items(), self.unflatten(vector), strict=True):
                if name in self.rows:
                    parameter.index_add_(0, self.rows[name], part)
                else:
                    parameter.add_(part)

    def norm(self):
        """Return the Euclidean norm of the chosen parameters (their chosen rows)."""
        return float(torch.sqrt(sum(value.detach().double().square().sum() for value in self.values())))


@contextlib.contextmanager
def second_order(model):
    """Dropout off, and only kernels that can be differentiated twice: no cuDNN recurrence, the math attention."""
    training = model.training
    model.eval()
    try:
        with (
            torch.backends.cudnn.flags(enabled=False),
            torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        ):
            yield
    finally:
        model.train(training)


def flatten(tensors, like):
    """Concatenate gradients to one flat vector; a parameter without one counts as zero."""
    return torch.cat([
        (torch.zeros_like(v) if t is None else t).reshape(-1) for t, v in zip(tensors, like, strict=True)
    ])  # fmt: skip


def gradient(subspace, batches):
    """Return the gradient of the batches' summed losses, flat."""
    values = subspace.values()
    total = torch.zeros(sum(v.numel() for v in values), dtype=values[0].dtype, device=values[0].device)
    for batch in batches:
        if len(batch):
            loss = subspace.loss(values, batch)
            total += flatten(torch.autograd.grad(loss, values, allow_unused=True), values)
    return total


class HessianProduct:
    """``v -> scale * H v`` for the summed losses of fixed batches; the graph is kept between products.

    Attributes:
        count: products so far.
    """

    def __init__(self, subspace, batches, scale=1.0):
        self.values = subspace.values()
        self.scale, self.count = scale, 0
        self.gradients = []
        for batch in batches:
            if len(batch):
                loss = subspace.loss(self.values, batch)
                first = torch.autograd.grad(loss, self.values, create_graph=True, allow_unused=True)
                self.gradients.append(flatten(first, self.values))

    def __call__(self, vector):
        self.count += 1
        result = torch.zeros_like(vector)
        for first in self.gradients:
            if first.requires_grad:
                second = torch.autograd.grad(first, self.values, vector, retain_graph=True, allow_unused=True)
                result += flatten(second, self.values)
        return self.scale * result


@dataclass(frozen=True)
class Solution:
    """What an iterative solver found.

    Attributes:
        x: the flat solution.
        iterations: how many products it took.
        residual: ``|b - A x| / |b|``.
        ended: ``converged``, ``iterations`` (the limit), ``negative curvature`` or ``timeout``.
    """

    x: torch.Tensor
    iterations: int
    residual: float
    ended: str


def conjugate_gradients(product, b, damping, tolerance=1e-6, iterations=100, out_of_time=lambda: False):
    """Solve ``(A + damping I) x = b`` for a symmetric ``A`` given by its products.

    M. Hestenes, E. Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems", J. Res. NBS 1952. Along a
    direction of negative curvature the iteration stops with what it has, as in truncated Newton methods.

    Args:
        product: the same linear map at every call.
        b: flat right-hand side.
        damping: added to the diagonal.
        tolerance: of the residual relative to ``b``.
        iterations: at most so many products.
        out_of_time: asked before every product.
    """
    x, r = torch.zeros_like(b), b.clone()
    p, rs = r.clone(), float(r @ r)
    start = rs**0.5
    ended, done = "iterations", 0
    if start == 0:
        return Solution(x, 0, 0.0, "converged")
    while done < iterations:
        if out_of_time():
            ended = "timeout"
            break
        q = product(p) + damping * p
        done += 1
        bend = float(p @ q)
        if not bend > 0:
            ended = "negative curvature"
            break
        step = rs / bend
        x, r = x + step * p, r - step * q
        rs, before = float(r @ r), rs
        if rs**0.5 <= tolerance * start:
            ended = "converged"
            break
        p = r + (rs / before) * p
    return Solution(x, done, rs**0.5 / start, ended)
