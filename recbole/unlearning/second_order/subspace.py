"""The parameters that a request may move, as one flat vector."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from recbole.data import Interaction
from recbole.model.abstract_recommender import AbstractRecommender


class _Reached(nn.Module):
    """Lets ``functional_call`` reach a model's methods."""

    def __init__(self, model: AbstractRecommender) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: str, asked: Any) -> Any:
        return getattr(self.model, method)(asked)


class Subspace:
    """The parameters that a request may move, as one flat vector.

    A table that the model reads only through look-ups (``row_tables``) takes part with the rows that the batches look
    up, and with a table of just those rows in the computation. The gradient and the Hessian of the batches' losses
    are zero in every other row, where the damped solution ``(H + damping I)^-1 g`` is therefore zero too: leaving the
    rows out is exact, and the cost does not depend on the size of the catalogue. Likewise a matrix of which a batch
    reads single entries (``entry_tables``) takes part with these, as a table whose rows are one number each.

    Args:
        model: a recommender.
        names: names of the chosen parameters; all that are trained by default.
        batches: every batch whose loss will be taken; None for whole tables.
        moving: those of the batches whose rows may move, while rows that only the others look up are held still; all
            of them by default.
        entries: whether to look at ``entry_tables`` as such; else all of their entries take part.
    """

    def __init__(
        self,
        model: AbstractRecommender,
        names: Sequence[str] | None = None,
        batches: Sequence[Interaction] | None = None,
        moving: Sequence[Interaction] | None = None,
        entries: bool = True,
    ) -> None:
        self.model = model
        self.names = trained(model) if names is None else tuple(names)
        tables = {*model.row_tables, *(model.entry_tables if entries else ())} if batches is not None else ()
        looked_up = [n for n in self.names if n in tables]
        batches = () if batches is None else batches
        self._read = {n: self._rows(n, batches) for n in looked_up}
        self.rows = self._read if moving is None else {n: self._rows(n, moving) for n in looked_up}
        self._module = _Reached(model)
        self._fields = {field: n for n in self.rows for field in model.row_tables.get(n, ())}
        partly = [n for n in self._read if len(self.rows[n]) < len(self._read[n])]
        self._moving = {n: torch.searchsorted(self._read[n], self.rows[n]) for n in partly}
        places = {n: buffer for n, buffer in model.entry_tables.items() if n in self._read}
        self._places = {buffer: model.get_buffer(buffer)[self._read[n]] for n, buffer in places.items()}

    def _rows(self, name: str, batches: Sequence[Interaction]) -> torch.Tensor:
        """Return the rows (of a matrix of single entries: these) that batches look up, int64, ascending."""
        device = self._device
        if name not in self.model.entry_tables:
            fields = self.model.row_tables[name]
            ids = [batch[field].reshape(-1).to(device) for batch in batches for field in fields if field in batch]
            return torch.unique(torch.cat([torch.zeros(1, dtype=torch.int64, device=device), *ids]))  # 0 is the padding
        there = torch.zeros(len(self.parameters[name]), dtype=torch.bool, device=device)
        for batch in batches:
            if len(batch):
                there[self.model.entries(name, batch.to(device))] = True
        return there.nonzero().squeeze(1)

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The model's own chosen parameters by name, whole."""
        parameters = dict(self.model.named_parameters())  # a rebuilt model may hold others
        return {n: parameters[n] for n in self.names}

    def values(self, shift: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Return copies of the chosen parameters (their chosen rows), plus a flat ``shift``, as leaf tensors."""
        chosen = self._chosen({n: p.detach() for n, p in self.parameters.items()})
        if shift is not None:
            chosen = [value + part for value, part in zip(chosen, self.unflatten(shift), strict=True)]
        return [value.clone().requires_grad_() for value in chosen]

    def _chosen(self, tensors: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        return [t[self.rows[n]] if n in self.rows else t for n, t in tensors.items()]

    def vector(self) -> torch.Tensor:
        """Return the chosen parameters (their chosen rows) as one flat vector."""
        return flatten(self._chosen({n: p.detach() for n, p in self.parameters.items()}))

    def narrow(self, vector: torch.Tensor) -> torch.Tensor:
        """Return the part that lies in this subspace of a flat vector over the same parameters' whole tables."""
        return flatten(self._chosen(dict(zip(self.names, self.whole().unflatten(vector), strict=True))))

    def widen(self, vector: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
        """Return ``rest``, flat over the same parameters' whole tables, with ``vector`` in place of what lies here."""
        parts = [part.clone() for part in self.whole().unflatten(rest)]
        for name, part, own in zip(self.names, parts, self.unflatten(vector), strict=True):
            part[self.rows.get(name, slice(None))] = own
        return flatten(parts)

    def clear(self, vector: torch.Tensor, rows: Mapping[str, torch.Tensor]) -> None:
        """Set a flat vector to zero, in place, in rows (int64) of the parameters that are named."""
        for name, part in zip(self.names, self.unflatten(vector), strict=True):
            if name in rows:
                there = rows[name].to(part.device)
                part[torch.isin(self.rows[name], there) if name in self.rows else there] = 0.0

    def whole(self) -> "Subspace":
        """Return the subspace of the same parameters with whole tables."""
        return Subspace(self.model, self.names) if self.rows else self

    def loss(
        self, values: Sequence[torch.Tensor], batches: Sequence[Interaction], weights: Sequence[float]
    ) -> torch.Tensor:
        """Return the weighted sum of batches' loss sums as a function of the chosen parameters' values."""
        losses = self._call("loss_sums", values, [self._renumber(batch) for batch in batches])
        return sum(weight * loss for weight, loss in zip(weights, losses, strict=True))

    def outputs(self, values: Sequence[torch.Tensor], batch: Interaction) -> torch.Tensor:
        """Return the model's ``outputs`` on a batch, or None, as a function of the chosen parameters' values."""
        return self._call("outputs", values, self._renumber(batch))

    def factors(self, values: Sequence[torch.Tensor], batch: Interaction) -> tuple[torch.Tensor, ...] | None:
        """Return the model's ``factors`` on a batch, or None, as a function of the chosen parameters' values."""
        return self._call("factors", values, self._renumber(batch))

    def _call(self, method: str, values: Sequence[torch.Tensor], asked: Any) -> Any:
        swapped = {f"model.{name}": self._table(name, value) for name, value in zip(self.names, values, strict=True)}
        swapped |= {f"model.{buffer}": places for buffer, places in self._places.items()}
        return functional_call(self._module, swapped, (method, asked))

    def _table(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return the rows that are read, of which those that may move have the values given."""
        if name not in self._moving:
            return value
        still = self.parameters[name].detach()[self._read[name]]
        return still.index_copy(0, self._moving[name], value)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _renumber(self, batch: Interaction) -> Interaction:
        """Return a batch whose ids are numbers of the rows that are read."""
        columns = {
            field: torch.searchsorted(self._read[self._fields[field]], column) if field in self._fields else column
            for field, column in batch.to(self._device).interaction.items()
        }
        return Interaction(columns)

    def unflatten(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Split a flat vector into the chosen parameters' shapes."""
        wholes = {n: p.shape for n, p in self.parameters.items()}
        shapes = [(len(self.rows[n]), *shape[1:]) if n in self.rows else tuple(shape) for n, shape in wholes.items()]
        parts = torch.split(vector, [int(torch.Size(shape).numel()) for shape in shapes])
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def add(self, vector: torch.Tensor) -> None:
        """Add a flat vector to the model's parameters, in place."""
        with torch.no_grad():
            for (name, parameter), part in zip(self.parameters.items(), self.unflatten(vector), strict=True):
                if name in self.rows:
                    parameter.index_add_(0, self.rows[name], part)
                else:
                    parameter.add_(part)

    def put(self, values: Sequence[torch.Tensor]) -> None:
        """Set the chosen parameters (their chosen rows) to what :meth:`values` returned, in place."""
        with torch.no_grad():
            for (name, parameter), value in zip(self.parameters.items(), values, strict=True):
                if name in self.rows:
                    parameter.index_copy_(0, self.rows[name], value)
                else:
                    parameter.copy_(value)

    def norm(self) -> float:
        """Return the Euclidean norm of the chosen parameters (their chosen rows)."""
        squares = (value.detach().double().square().sum() for value in self.values())
        return float(torch.sqrt(sum(squares, torch.zeros(()))))


def trained(model: AbstractRecommender) -> tuple[str, ...]:
    """Return the names of the parameters that training moves."""
    return tuple(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def flatten(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Concatenate tensors to one flat vector."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def flatten_gradient(parts: Iterable[torch.Tensor | None], values: Iterable[torch.Tensor]) -> torch.Tensor:
    """Concatenate the parts of a gradient to one flat vector; one that is None counts as zeros, shaped as its value."""
    return flatten(torch.zeros_like(v) if part is None else part for part, v in zip(parts, values, strict=True))
