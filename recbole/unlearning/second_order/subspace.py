"""The parameters that a request may change, arranged as one vector."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from recbole.data import Interaction
from recbole.model.abstract_recommender import AbstractRecommender


class _Reached(nn.Module):
    """Wraps a model so that ``forward`` calls any of its methods by name, for use with ``functional_call``."""

    def __init__(self, model: AbstractRecommender) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: str, asked: Any) -> Any:
        return getattr(self.model, method)(asked)


class Subspace:
    """The parameters that a request may change, arranged as one vector (the *flat vector*, float [dimension]).

    An embedding table that the model's loss reads only through look-ups (the model's ``row_tables``) is reduced to the
    rows that the given batches look up, and the loss is computed with a table of these rows only. In all other rows the
    gradient and the Hessian of the batches' losses are zero, and so is the damped solution ``(H + damping I)^-1 g``.
    Leaving these rows out is therefore exact, and makes the cost independent of the size of the catalogue. Likewise a
    matrix of which a batch reads single entries (the model's ``entry_tables``) is reduced to the entries that the
    batches read, which are treated as a table with one number per row.

    Args:
        model: a recommender.
        names: names of the parameters to include; ``None`` for all trained ones.
        batches: all batches whose losses will be computed; ``None`` includes whole tables.
        moving: the batches among them whose table rows are included in the flat vector. Rows that only other batches
            look up keep the model's values. ``None`` includes the rows of all batches.
        entries: whether to reduce ``entry_tables``; if not, all of their entries are included.

    Attributes:
        names: names of the parameters, in the order of the flat vector.
        rows: for the reduced tables, parameter name to the indices of the included rows (int64, ascending). Parameters
            that are not listed are included as a whole.
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
        """Return which rows of a table the batches look up (for one of ``entry_tables``: which entries they read).

        Returns:
            int64, ascending, with the padding row 0 (for ``entry_tables``: positions in the stored vector).
        """
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
        """The included ``nn.Parameter`` objects of the model by name; tables are not reduced to rows."""
        parameters = dict(self.model.named_parameters())  # not stored: a rebuild of the model may replace them
        return {n: parameters[n] for n in self.names}

    def values(self, shift: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Return copies of the included parameters (of reduced tables: the included rows), which require a gradient.

        Args:
            shift: a flat vector to add to the copies; ``None`` adds nothing.

        Returns:
            One leaf tensor per name in :attr:`names`.
        """
        chosen = self._chosen({n: p.detach() for n, p in self.parameters.items()})
        if shift is not None:
            chosen = [value + part for value, part in zip(chosen, self.unflatten(shift), strict=True)]
        return [value.clone().requires_grad_() for value in chosen]

    def _chosen(self, tensors: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Return the included rows of tensors that have the shapes of the whole parameters.

        Args:
            tensors: parameter name to tensor, for all of :attr:`names`, in their order.
        """
        return [t[self.rows[n]] if n in self.rows else t for n, t in tensors.items()]

    def vector(self) -> torch.Tensor:
        """Return the current values of the included parameters (or rows) as one flat vector."""
        return flatten(self._chosen({n: p.detach() for n, p in self.parameters.items()}))

    def narrow(self, vector: torch.Tensor) -> torch.Tensor:
        """Return from a flat vector over the whole parameters the elements that belong to this subspace, as a vector.

        The opposite of :meth:`widen`.
        """
        return flatten(self._chosen(dict(zip(self.names, self.whole().unflatten(vector), strict=True))))

    def widen(self, vector: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
        """Return a flat vector over the whole parameters, including table rows that are not in this subspace.

        Args:
            vector: flat vector of this subspace, which gives the elements in it.
            rest: flat vector over the whole parameters, which gives all other elements.
        """
        parts = [part.clone() for part in self.whole().unflatten(rest)]
        for name, part, own in zip(self.names, parts, self.unflatten(vector), strict=True):
            part[self.rows.get(name, slice(None))] = own
        return flatten(parts)

    def clear(self, vector: torch.Tensor, rows: Mapping[str, torch.Tensor]) -> None:
        """Set the elements of a flat vector that belong to certain table rows to zero, in place.

        Args:
            vector: flat vector of this subspace.
            rows: parameter name to int64 row indices in the whole table; rows that are not in this subspace are
                ignored.
        """
        for name, part in zip(self.names, self.unflatten(vector), strict=True):
            if name in rows:
                there = rows[name].to(part.device)
                part[torch.isin(self.rows[name], there) if name in self.rows else there] = 0.0

    def whole(self) -> "Subspace":
        """Return a subspace of the same parameters in which all tables are included as a whole."""
        return Subspace(self.model, self.names) if self.rows else self

    def loss(
        self, values: Sequence[torch.Tensor], batches: Sequence[Interaction], weights: Sequence[float]
    ) -> torch.Tensor:
        """Return the weighted sum of the batches' losses, a scalar tensor, for given values of the parameters.

        Args:
            values: values of the included parameters, see :meth:`values`.
            batches: batches with no other ids than the batches that this subspace was made with.
            weights: weight of each batch's loss, summed over its rows.
        """
        losses = self._call("loss_sums", values, [self._renumber(batch) for batch in batches])
        return sum(weight * loss for weight, loss in zip(weights, losses, strict=True))

    def outputs(self, values: Sequence[torch.Tensor], batch: Interaction) -> torch.Tensor:
        """Return the model's ``outputs`` on a batch for given values of the parameters.

        ``None`` if the model has no such outputs.
        """
        return self._call("outputs", values, self._renumber(batch))

    def factors(self, values: Sequence[torch.Tensor], batch: Interaction) -> tuple[torch.Tensor, ...] | None:
        """Return the model's ``factors`` (encodings, item table, targets) for given values of the parameters.

        ``None`` if the scores of the model are not such a product of encodings and item table.
        """
        return self._call("factors", values, self._renumber(batch))

    def _call(self, method: str, values: Sequence[torch.Tensor], asked: Any) -> Any:
        """Call a method of the model with one argument, while the included parameters have the values ``values``.

        Args:
            method: name of the method.
            values: values of the included parameters, see :meth:`values`.
            asked: the argument, one or several batches, with ids that :meth:`_renumber` has replaced.
        """
        swapped = {f"model.{name}": self._table(name, value) for name, value in zip(self.names, values, strict=True)}
        swapped |= {f"model.{buffer}": places for buffer, places in self._places.items()}
        return functional_call(self._module, swapped, (method, asked))

    def _table(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return a reduced table: all rows that batches look up, with given values in those that may change.

        Args:
            name: the parameter's name. A parameter that is not a reduced table is returned as given.
            value: values of the included rows. All other rows have the model's values.
        """
        if name not in self._moving:
            return value
        still = self.parameters[name].detach()[self._read[name]]
        return still.index_copy(0, self._moving[name], value)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _renumber(self, batch: Interaction) -> Interaction:
        """Return a copy of a batch in which each id is replaced by the position of its row in the reduced table."""
        columns = {
            field: torch.searchsorted(self._read[self._fields[field]], column) if field in self._fields else column
            for field, column in batch.to(self._device).interaction.items()
        }
        return Interaction(columns)

    def unflatten(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Split a flat vector into tensors with the shapes of the included parameters (or rows)."""
        wholes = {n: p.shape for n, p in self.parameters.items()}
        shapes = [(len(self.rows[n]), *shape[1:]) if n in self.rows else tuple(shape) for n, shape in wholes.items()]
        parts = torch.split(vector, [int(torch.Size(shape).numel()) for shape in shapes])
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def add(self, vector: torch.Tensor) -> None:
        """Add a flat vector to the included parameters (or rows) of the model, in place."""
        with torch.no_grad():
            for (name, parameter), part in zip(self.parameters.items(), self.unflatten(vector), strict=True):
                if name in self.rows:
                    parameter.index_add_(0, self.rows[name], part)
                else:
                    parameter.add_(part)

    def put(self, values: Sequence[torch.Tensor]) -> None:
        """Set the included parameters (or rows) of the model to values that :meth:`values` returned, in place."""
        with torch.no_grad():
            for (name, parameter), value in zip(self.parameters.items(), values, strict=True):
                if name in self.rows:
                    parameter.index_copy_(0, self.rows[name], value)
                else:
                    parameter.copy_(value)

    def norm(self) -> float:
        """Return the Euclidean norm of the included parameters (or rows)."""
        squares = (value.detach().double().square().sum() for value in self.values())
        return float(torch.sqrt(sum(squares, torch.zeros(()))))


def trained(model: AbstractRecommender) -> tuple[str, ...]:
    """Return the names of the model's parameters that require a gradient."""
    return tuple(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def flatten(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Concatenate tensors into one flat vector."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def flatten_gradient(parts: Iterable[torch.Tensor | None], values: Iterable[torch.Tensor]) -> torch.Tensor:
    """Concatenate the gradients with respect to several parameters into one flat vector.

    Args:
        parts: one gradient per parameter; ``None`` stands for zeros.
        values: the parameters, which give the shapes of these zeros.
    """
    return flatten(torch.zeros_like(v) if part is None else part for part, v in zip(parts, values, strict=True))
