"""What the room's functions take and return, by name; whoever reads results needs no torch for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]

Row = dict[str, Any]
"""A row of the result table: see :data:`~recbole.evaluator.table.COLUMNS`."""

Values = dict[tuple[str, int | None], float]
"""The value of each metric at each list length; of a metric without lists the length is None."""


class Recommender(Protocol):
    """What is asked of a model: everything that a recommender of ``recbole.model`` has."""

    n_items: Any

    def eval(self) -> Any:
        """Put the model in evaluation mode."""

    def parameters(self) -> Iterator[Any]:
        """Return the parameters; the first tells the device."""

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Return the scores of all items, [rows, n_items] or flat."""


class Reference(NamedTuple):
    """A retrained model to measure the distance from.

    Attributes:
        model: a recommender.
        name: how result rows name it.
        twin: whether it differs from the base in its mask alone: True, False, or ``unknown``; None where nobody asked.
    """

    model: Recommender
    name: str
    twin: bool | str | None = None


class Settings(Protocol):
    """A configuration, or a dictionary."""

    def __getitem__(self, key: str, /) -> Any:
        """Return the value of a setting."""

    def get(self, key: str, /) -> Any:
        """Return the value of a setting, None where there is none."""
