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
"""A row of the result table, which holds one value of one metric: column name (``COLUMNS``) to value."""

Values = dict[tuple[str, int | None], float]
"""``(metric name in lower case, list length k)`` to value; k is None for a metric without a cut-off."""


class Recommender(Protocol):
    """The methods that evaluation needs from a model. Every recommender in ``recbole.model`` has them."""

    n_items: Any

    def eval(self) -> Any:
        """Put the model in evaluation mode."""

    def parameters(self) -> Iterator[Any]:
        """Return an iterator over the parameters. Scores are computed on the device of the first parameter."""

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Return the scores of all items for a batch of inputs, float [batch, n_items] or flattened."""


class Reference(NamedTuple):
    """The model with which an evaluated model is compared, usually the model retrained without the forgotten rows.

    Attributes:
        model: the recommender to compare with.
        name: the file name and SHA-256 of this recommender, for the column ``reference`` of the result table.
        twin: whether this recommender was trained exactly like the base model (the model that the deletion requests are
            applied to), except that the forgotten rows were left out: True, False, or ``unknown``. None if this was not
            checked.
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
