"""Type aliases and protocols for the arguments and results of this package. Importing them does not load torch."""

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
"""A row of the result table: column name to value; see :data:`~recbole.evaluator.table.COLUMNS`."""

Values = dict[tuple[str, int | None], float]
"""``(metric, list length)`` to value. The list length is None for a metric that is not computed at a cut-off."""


class Recommender(Protocol):
    """The methods that evaluation needs from a model. Every recommender in ``recbole.model`` has them."""

    n_items: Any

    def eval(self) -> Any:
        """Put the model in evaluation mode."""

    def parameters(self) -> Iterator[Any]:
        """Return an iterator over the parameters. The scores are computed on the first one's device."""

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Return the scores of all items, float [rows, n_items] or flattened."""


class Reference(NamedTuple):
    """The retrained model to which an evaluated model is compared.

    Attributes:
        model: the retrained recommender.
        name: its file name and SHA-256, for the column ``reference`` of the result table.
        twin: whether the model was trained exactly like the base model except for the forgotten rows: True, False, or
            ``unknown``. None if this was not checked.
    """

    model: Recommender
    name: str
    twin: bool | str | None = None


class Settings(Protocol):
    """The settings of a run: a :class:`~recbole.config.Config`, or a dictionary from setting name to value."""

    def __getitem__(self, key: str, /) -> Any:
        """Return the value of a setting."""

    def get(self, key: str, /) -> Any:
        """Return the value of a setting, or None if it is not set."""
