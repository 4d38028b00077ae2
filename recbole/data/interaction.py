"""A batch: a dictionary of equally long tensors, with RecBole's methods."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
import torch

Rows = int | slice | np.ndarray | torch.Tensor
"""The types that select rows of an :class:`Interaction`: an integer, a slice, an integer or bool array or tensor."""


class Interaction:
    """A batch of n rows: named tensors whose first dimension is n, as RecBole's models expect them.

    ``interaction["field"]`` is a column; ``interaction[index]`` (an integer, a slice, an integer or bool array or
    tensor) is an ``Interaction`` of those rows.

    Args:
        columns: mapping of field name to a tensor, NumPy array or list, all of one length; or a pandas DataFrame.

    Raises:
        ValueError: the columns differ in length.
    """

    def __init__(self, columns: Mapping[str, torch.Tensor | np.ndarray | Sequence[Any]]) -> None:
        self.interaction = {name: torch.as_tensor(_plain(value)) for name, value in columns.items()}
        lengths = {len(value) for value in self.interaction.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns differ in length: { ({k: len(v) for k, v in self.interaction.items()}) }")
        self.length = lengths.pop() if lengths else 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[str]:
        return iter(self.interaction)

    def __contains__(self, name: str) -> bool:
        return name in self.interaction

    @overload
    def __getitem__(self, index: str) -> torch.Tensor: ...

    @overload
    def __getitem__(self, index: Rows) -> Interaction: ...

    def __getitem__(self, index: str | Rows) -> torch.Tensor | Interaction:
        if isinstance(index, str):
            return self.interaction[index]
        if isinstance(index, np.ndarray):
            index = torch.from_numpy(index)
        if isinstance(index, (int, np.integer)):
            if not -self.length <= index < self.length:
                raise IndexError(f"row {index} is out of range, there are {self.length} rows")
            index = slice(int(index) % self.length, int(index) % self.length + 1)
        return self._map(lambda column: column[index])

    def __setitem__(self, name: str, value: torch.Tensor) -> None:
        if self.interaction and len(value) != self.length:
            raise ValueError(f"column '{name}' has {len(value)} rows, the interaction has {self.length}")
        self.interaction[name] = value
        self.length = len(value)

    def __getattr__(self, name: str) -> torch.Tensor:
        columns = self.__dict__.get("interaction", {})
        if name in columns:
            return columns[name]
        raise AttributeError(f"'Interaction' object has no attribute '{name}'")

    def __repr__(self) -> str:
        shapes = ", ".join(f"{k}: {tuple(v.shape)}" for k, v in self.interaction.items())
        return f"Interaction({shapes})"

    def _map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Interaction:
        return Interaction({name: function(column) for name, column in self.interaction.items()})

    @property
    def columns(self) -> list[str]:
        """Field names, in order."""
        return list(self.interaction)

    def to(self, device: torch.device | str, selected_field: str | Container[str] | None = None) -> Interaction:
        """Return a copy on ``device``; with ``selected_field`` (one or several names) only these columns are moved."""
        wanted = {selected_field} if isinstance(selected_field, str) else selected_field
        return Interaction(
            {k: v.to(device) if wanted is None or k in wanted else v for k, v in self.interaction.items()}
        )

    def cpu(self) -> Interaction:
        """Return a copy on the CPU."""
        return self._map(torch.Tensor.cpu)

    def numpy(self) -> dict[str, np.ndarray]:
        """Return a dictionary of NumPy arrays."""
        return {name: column.cpu().numpy() for name, column in self.interaction.items()}

    def repeat(self, times: int) -> Interaction:
        """Return an interaction in which all rows are repeated ``times`` times in sequence: a, b, a, b."""
        return self._map(lambda column: column.repeat(times, *([1] * (column.dim() - 1))))

    def repeat_interleave(self, repeats: int | torch.Tensor, dim: int = 0) -> Interaction:
        """Return an interaction in which each row is repeated ``repeats`` times before the next one: a, a, b, b."""
        return self._map(lambda column: column.repeat_interleave(repeats, dim=dim))

    def update(self, other: Interaction) -> None:
        """Add or replace the columns of another interaction of the same length."""
        for name in other:
            self[name] = other[name]

    def drop(self, name: str) -> None:
        """Remove a column.

        Raises:
            ValueError: there is no such column.
        """
        if name not in self.interaction:
            raise ValueError(f"there is no column '{name}' to drop")
        del self.interaction[name]

    def shuffle(self) -> None:
        """Shuffle the rows in place, with torch's global random generator."""
        self._reorder(torch.randperm(self.length, device="cpu"))

    def sort(self, by: str | Sequence[str], ascending: bool | Sequence[bool] = True) -> None:
        """Sort the rows in place by one or several columns, the most important first. The sort is stable.

        ``ascending`` is one direction for all columns, or a sequence with the direction of each.

        Raises:
            ValueError: there is no such column, or the number of directions differs from the number of columns.
        """
        names = [by] if isinstance(by, str) else list(by)
        directions = [ascending] * len(names) if isinstance(ascending, bool) else list(ascending)
        if missing := [name for name in names if name not in self.interaction]:
            raise ValueError(f"there is no column '{missing[0]}' to sort by")
        for name, upwards in reversed(list(zip(names, directions, strict=True))):
            self._reorder(torch.argsort(self.interaction[name].cpu(), stable=True, descending=not upwards))

    def _reorder(self, order: torch.Tensor) -> None:
        self.interaction = {name: column[order.to(column.device)] for name, column in self.interaction.items()}

    def __delitem__(self, name: str) -> None:
        self.drop(name)

    def add_prefix(self, prefix: str) -> None:
        """Put ``prefix`` before every field name, in place."""
        self.interaction = {prefix + name: column for name, column in self.interaction.items()}


def cat_interactions(interactions: Sequence[Interaction]) -> Interaction:
    """Concatenate the rows of interactions with the same columns; shorter sequences are padded with 0 on the right."""
    first = interactions[0]
    return Interaction({name: _cat([part[name] for part in interactions]) for name in first.columns})


def _plain(value: Any) -> Any:
    """Return a pandas column as a NumPy array, and any other value unchanged."""
    return value.to_numpy(copy=True) if hasattr(value, "to_numpy") else value


def _cat(columns: Sequence[torch.Tensor]) -> torch.Tensor:
    """Concatenate tensors along the first dimension, padding the others with 0 to the largest size."""
    widest = [max(sizes) for sizes in zip(*(column.shape[1:] for column in columns), strict=True)]
    return torch.cat([_widened(column, widest) for column in columns])


def _widened(column: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    missing = [(0, want - have) for want, have in zip(shape, column.shape[1:], strict=True)]
    return torch.nn.functional.pad(column, [pad for pair in reversed(missing) for pad in pair])
