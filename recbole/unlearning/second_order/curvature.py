"""What second-order methods share: a parameter subspace, gradients and Hessian products (solvers are next door).

The operator is fixed for a request: fixed examples, fixed negatives, dropout off. ``H`` is the Hessian of a *sum* of
losses over those examples, in the chosen parameters with all others held still.
"""

import contextlib

import torch
from torch import nn
from torch.func import functional_call

from recbole.data import Interaction
from recbole.utils.device import full_precision


class _Reached(nn.Module):
    """Lets ``functional_call`` reach a model's methods."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, method, asked):
        return getattr(self.model, method)(asked)


class Subspace:
    """The parameters that a request may move, as one flat vector.

    A table that the model reads only through look-ups (``row_tables``) takes part with the rows that the batches look
    up, and with a table of just those rows in the computation. The gradient and the Hessian of the batches' losses
    are zero in every other row, where the damped solution ``(H + damping I)^-1 g`` is therefore zero too: leaving the
    rows out is exact, and the cost does not depend on the size of the catalogue. Likewise a matrix of which a batch
    reads single entries (``entry_tables``) takes part with these, as a flat table whose rows are one number each.

    Args:
        model: a recommender.
        names: names of the chosen parameters; all that are trained by default.
        batches: every batch whose loss will be taken; None for whole tables.
        moving: those of the batches whose rows may move, while rows that only the others look up are held still; all
            of them by default.
        entries: whether to look at ``entry_tables`` as such; else as whole matrices.
    """

    def __init__(self, model, names=None, batches=None, moving=None, entries=True):
        self.model = model
        self.names = trained(model) if names is None else tuple(names)
        flat = model.entry_tables if entries and batches is not None else {}
        self._flat = {n: buffer for n, buffer in flat.items() if n in self.names}
        looked_up = () if batches is None else [n for n in self.names if n in model.row_tables or n in self._flat]
        self._read = {n: self._rows(n, batches) for n in looked_up}
        self.rows = self._read if moving is None else {n: self._rows(n, moving) for n in looked_up}
        self._module = _Reached(model)
        self._fields = {field: n for n in self.rows for field in model.row_tables.get(n, ())}
        partly = [n for n in self._read if len(self.rows[n]) < len(self._read[n])]
        self._moving = {n: torch.searchsorted(self._read[n], self.rows[n]) for n in partly}
        self._numbers = {buffer: self._number(n) for n, buffer in self._flat.items()}

    def _rows(self, name, batches):
        """Return the rows (of a flat table: the entries) that batches look up, int64, ascending."""
        device = self._device
        if name not in self._flat:
            fields = self.model.row_tables[name]
            ids = [batch[field].reshape(-1).to(device) for batch in batches for field in fields if field in batch]
            return torch.unique(torch.cat([torch.zeros(1, dtype=torch.int64, device=device), *ids]))  # 0 is the padding
        there = torch.zeros(self.parameters[name].numel(), dtype=torch.bool, device=device)
        there[0] = True
        for batch in batches:
            if len(batch):
                there[self.model.entries(name, batch.to(device))] = True
        return there.nonzero().squeeze(1)

    def _number(self, name):
        """Return of each place in a flat table which of the entries that are read it is, int32."""
        entries = self._read[name]
        numbers = torch.zeros(self.parameters[name].numel(), dtype=torch.int32, device=entries.device)
        return numbers.index_copy_(0, entries, torch.arange(len(entries), dtype=torch.int32, device=entries.device))

    def _table_of(self, name, tensor):
        """Return a parameter's tensor as the table that rows are of."""
        return tensor.view(-1) if name in self._flat else tensor

    @property
    def parameters(self):
        """The model's own chosen parameters by name, whole."""
        parameters = dict(self.model.named_parameters())  # a rebuilt model may hold others
        return {n: parameters[n] for n in self.names}

    def values(self, shift=None):
        """Return copies of the chosen parameters (their chosen rows), plus a flat ``shift``, as leaf tensors."""
        chosen = self._chosen({n: p.detach() for n, p in self.parameters.items()})
        if shift is not None:
            chosen = [value + part for value, part in zip(chosen, self.unflatten(shift), strict=True)]
        return [value.clone().requires_grad_() for value in chosen]

    def _chosen(self, tensors):
        return [self._table_of(n, t)[self.rows[n]] if n in self.rows else t for n, t in tensors.items()]

    def vector(self):
        """Return the chosen parameters (their chosen rows) as one flat vector."""
        return flatten(self._chosen({n: p.detach() for n, p in self.parameters.items()}))

    def narrow(self, vector):
        """Return the part that lies in this subspace of a flat vector over the same parameters' whole tables."""
        return flatten(self._chosen(dict(zip(self.names, self.whole().unflatten(vector), strict=True))))

    def widen(self, vector, rest):
        """Return ``rest``, flat over the same parameters' whole tables, with ``vector`` in place of what lies here."""
        parts = [part.clone() for part in self.whole().unflatten(rest)]
        for name, part, own in zip(self.names, parts, self.unflatten(vector), strict=True):
            self._table_of(name, part)[self.rows.get(name, slice(None))] = own
        return flatten(parts)

    def whole(self):
        """Return the subspace of the same parameters with whole tables."""
        return Subspace(self.model, self.names) if self.rows else self

    def loss(self, values, batches, weights):
        """Return the weighted sum of batches' loss sums as a function of the chosen parameters' values."""
        losses = self._call("loss_sums", values, [self._renumber(batch) for batch in batches])
        return sum(weight * loss for weight, loss in zip(weights, losses, strict=True))

    def outputs(self, values, batch):
        """Return the model's ``outputs`` on a batch, or None, as a function of the chosen parameters' values."""
        return self._call("outputs", values, self._renumber(batch))

    def _call(self, method, values, asked):
        swapped = {f"model.{name}": self._table(name, value) for name, value in zip(self.names, values, strict=True)}
        swapped |= {f"model.{buffer}": numbers for buffer, numbers in self._numbers.items()}
        return functional_call(self._module, swapped, (method, asked))

    def _table(self, name, value):
        """Return the rows that are read, of which those that may move have the values given."""
        if name not in self._moving:
            return value
        still = self._table_of(name, self.parameters[name].detach())[self._read[name]]
        return still.index_copy(0, self._moving[name], value)

    @property
    def _device(self):
        return next(self.model.parameters()).device

    def _renumber(self, batch):
        """Return a batch whose ids are numbers of the rows that are read."""
        columns = {
            field: torch.searchsorted(self._read[self._fields[field]], column) if field in self._fields else column
            for field, column in batch.to(self._device).interaction.items()
        }
        return Interaction(columns)

    def unflatten(self, vector):
        """Split a flat vector into the chosen parameters' shapes."""
        tables = {n: self._table_of(n, p).shape for n, p in self.parameters.items()}
        shapes = [(len(self.rows[n]), *shape[1:]) if n in self.rows else tuple(shape) for n, shape in tables.items()]
        parts = torch.split(vector, [int(torch.Size(shape).numel()) for shape in shapes])
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def add(self, vector):
        """Add a flat vector to the model's parameters, in place."""
        with torch.no_grad():
            for (name, parameter), part in zip(self.parameters.items(), self.unflatten(vector), strict=True):
                if name in self.rows:
                    self._table_of(name, parameter).index_add_(0, self.rows[name], part)
                else:
                    parameter.add_(part)

    def norm(self):
        """Return the Euclidean norm of the chosen parameters (their chosen rows)."""
        return float(torch.sqrt(sum(value.detach().double().square().sum() for value in self.values())))


@contextlib.contextmanager
def second_order(model):
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


def trained(model):
    """Return the names of the parameters that training moves."""
    return tuple(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def flatten(tensors, like=None):
    """Concatenate tensors to one flat vector; a gradient that is None counts as zeros, shaped as in ``like``."""
    if like is not None:
        tensors = [torch.zeros_like(v) if t is None else t for t, v in zip(tensors, like, strict=True)]
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def gradient(subspace, batches, weights=None, shift=None):
    """Return the gradient of the batches' summed losses, flat; see :func:`loss_and_gradient`."""
    return loss_and_gradient(subspace, batches, weights, shift)[1]


def loss_and_gradient(subspace, batches, weights=None, shift=None):
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
        slope += flatten(torch.autograd.grad(loss, values, allow_unused=True), values)
    return total, slope


def total_loss(subspace, batches, weights, shift=None):
    """Return the batches' summed losses as a number; the arguments are those of :func:`gradient`."""
    values = subspace.values(shift)
    with torch.no_grad():
        return sum(float(subspace.loss(values, *group)) for group in _groups(subspace.model, batches, weights))


def _pieces(model, batches, weights):
    """Return the pieces that a model takes batches in, each with its batch's weight; nothing for an empty one."""
    weighted = zip(batches, weights or [1.0] * len(batches), strict=True)
    return [(piece, weight) for batch, weight in weighted if len(batch) for piece in model.pieces(batch)]


def _groups(model, batches, weights):
    """Return the pieces whose losses are taken together, with their weights: all that share work, or each alone."""
    pieces = _pieces(model, batches, weights)
    return [tuple(zip(*pieces, strict=True))] if model.batch_free and pieces else [((p,), (w,)) for p, w in pieces]


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

    def __init__(self, subspace, batches, scale=1.0, weights=None):
        self.subspace, self.values = subspace, subspace.values()
        self.scale, self.count = scale, 0
        self.first, self.place = [], []  # gradients that have derivatives themselves, and of which parameter each is
        for group in _groups(subspace.model, batches, weights):
            loss = subspace.loss(self.values, *group)
            first = torch.autograd.grad(loss, self.values, create_graph=True, allow_unused=True)
            curved = [place for place, part in enumerate(first) if part is not None and part.requires_grad]
            self.first += [first[place] for place in curved]
            self.place += curved

    def __call__(self, vector):
        self.count += 1
        if not self.first:
            return torch.zeros_like(vector)
        parts = self.subspace.unflatten(vector)
        parts = [parts[place] for place in self.place]
        second = torch.autograd.grad(self.first, self.values, parts, retain_graph=True, allow_unused=True)
        return flatten(second, self.values).mul_(self.scale)


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

    def __init__(self, subspace, batches, scale=1.0, weights=None):
        self.subspace, self.values, self.scale = subspace, subspace.values(), scale
        self.parts = [self._part(*piece) for piece in _pieces(subspace.model, batches, weights)]

    def _part(self, batch, weight):
        """Return what a product needs of a batch: outputs, ``u``, where ``J' u`` is not zero, ``J' u``, and slopes."""
        outputs = self.subspace.outputs(self.values, batch)
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(outputs, self.values, u, create_graph=True, allow_unused=True)
        place = [at for at, part in enumerate(pulled) if part is not None]
        free = outputs.detach().requires_grad_()
        loss = weight * self.subspace.model.loss_sum(batch.to(free.device), free)
        slopes = torch.autograd.grad(loss, free, create_graph=True)[0]
        return outputs, u, place, [pulled[at] for at in place], free, slopes

    def __call__(self, vector):
        parts, total = self.subspace.unflatten(vector), torch.zeros_like(vector)
        for outputs, u, place, pulled, free, slopes in self.parts:
            pushed = torch.autograd.grad(pulled, u, [parts[at] for at in place], retain_graph=True)
            bent = torch.autograd.grad(slopes, free, pushed, retain_graph=True)
            image = torch.autograd.grad(outputs, self.values, bent, retain_graph=True, allow_unused=True)
            total += flatten(image, self.values)
        return total.mul_(self.scale)
