"""Base class of models that are computed in closed form from the retained training pairs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

import numpy as np
import scipy.sparse
import torch

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType, ModelType, UserError

Learned = TypeVar("Learned", torch.Tensor, scipy.sparse.csc_array)
"""The type of the array that a model learns."""


class FittedRecommender(GeneralRecommender, ABC, Generic[Learned]):
    """A model that is fitted in closed form, without gradients.

    It is fitted when scores are first computed. When scores are computed after a :meth:`rebuild`, it is updated to the
    interactions that are then retained.

    Checkpoints do not store the learned array of a model that was fitted only once, because it can be computed again
    from the retained data. They store the array of a model that was updated, so that exactly the result of the updates
    is evaluated. This array may have n_items x n_items entries. It is in every checkpoint of an unlearned model, and in
    the snapshot file from which an interrupted unlearning run resumes.

    A subclass defines :meth:`fit`, :meth:`scores`, :meth:`learned` and :meth:`know`. It also defines :meth:`update` if
    updating can be cheaper than fitting again.

    Attributes:
        learned_shape: the shape of the array that :meth:`learned` returns in its list.
    """

    type = ModelType.TRADITIONAL  # type: ignore[assignment]  # see AbstractRecommender
    input_type = InputType.POINTWISE
    learned_shape: tuple[int, int]

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self._fitted: scipy.sparse.csr_matrix | None = None
        self.rebuild(dataset)

    def rebuild(self, dataset: Dataset) -> None:
        """Read the retained training interactions; fitting or updating is done when scores are next computed."""
        self._updated = self._fitted is not None
        self._retained = cast("scipy.sparse.csr_matrix", dataset.inter_matrix("csr").astype("float64"))

    @abstractmethod
    def fit(self, matrix: scipy.sparse.csr_matrix) -> None:
        """Fit the model to ``matrix``, float64 [n_users, n_items]: how often each user interacted with each item."""

    @abstractmethod
    def learned(self) -> list[Learned]:
        """Return a list with the one array learned from the retained interactions; fit or update first if needed."""

    def update(self, old: scipy.sparse.csr_matrix, new: scipy.sparse.csr_matrix) -> None:
        """Update a model fitted to the counts ``old`` to the counts ``new`` (see :meth:`fit`); by default fit again."""
        self.fit(new)

    @abstractmethod
    def know(self, learned: Learned) -> None:
        """Set the learned array, one that :meth:`learned` returned in its list, instead of fitting."""

    @abstractmethod
    def scores(self, matrix: scipy.sparse.csr_matrix, users: np.ndarray) -> torch.Tensor:
        """Return the scores, float [len(users), n_items], of users (int64 ids), given the ``matrix`` last fitted to."""

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return a scalar zero, because nothing is learned by gradient."""
        return next(self.parameters()).sum() * 0

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of the (user, item) pairs, float [batch]."""
        users, place = torch.unique(interaction[self.USER_ID], return_inverse=True)
        return self._scores(users)[place, interaction[self.ITEM_ID]]

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        return self._scores(interaction[self.USER_ID])

    def learn(self) -> None:
        """Fit the model to the retained interactions, or update it to them, unless it already corresponds to them."""
        if self._fitted is None:
            self.fit(self._retained)
        elif self._fitted is not self._retained:
            self.update(self._fitted, self._retained)
        self._fitted = self._retained

    def other_parameter(self) -> dict[str, Any] | None:
        """Return ``{"learned": array}`` for a model that was updated since it was first fitted, else ``None``.

        A sparse array is a dict of tensors, see :func:`_packed`.
        """
        return {"learned": _packed(*self.learned())} if self._updated else None

    def load_other_parameter(self, values: Mapping[str, Any] | None) -> None:
        """Load the array that :meth:`other_parameter` returned, instead of fitting; ``None`` changes nothing.

        Raises:
            UserError: the array does not have the type, shape or finite values that this model needs.
        """
        if values is None:
            return
        try:
            learned = _unpacked(values["learned"], self.learned_shape)
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"'other_parameter' has no valid array 'learned' of shape {self.learned_shape}, which "
                f"{type(self).__name__} needs on this data ({error}); it belongs to another model, or to other data"
            ) from error
        self.know(cast("Learned", learned))
        self._fitted, self._updated = self._retained, True

    def _scores(self, users: torch.Tensor) -> torch.Tensor:
        self.learn()
        return self.scores(self._retained, users.cpu().numpy()).to(users.device)


_SPARSE = ("data", "indices", "indptr")
"""Attributes of a SciPy CSC array, in the order of its constructor's arguments."""


def _packed(array: torch.Tensor | scipy.sparse.csc_array) -> torch.Tensor | dict[str, torch.Tensor]:
    """Return a tensor unchanged, and a SciPy CSC array as a dict of tensors with the keys ``data, indices, indptr``."""
    if scipy.sparse.issparse(array):
        return {name: torch.from_numpy(getattr(array, name)) for name in _SPARSE}
    return array


def _unpacked(
    value: torch.Tensor | dict[str, torch.Tensor], shape: tuple[int, int]
) -> torch.Tensor | scipy.sparse.csc_array:
    """Return the array from which :func:`_packed` returned ``value``.

    Raises:
        ValueError: the shape is not ``shape``, or a value is invalid. If ``value`` has another type, the errors are
            those that its use raises, such as an AttributeError.
    """
    if isinstance(value, dict):
        data, indices, indptr = (_numbers(value[name]) for name in _SPARSE)
        _check_sparse(data, indices, indptr, shape)
        return scipy.sparse.csc_array((data, indices, indptr), shape=shape)
    if value.shape != shape or value.layout is not torch.strided or value.device.type == "meta":
        raise ValueError(f"it has shape {tuple(value.shape)} and layout {value.layout}")
    if not value.is_floating_point() or not bool(value.isfinite().all()):
        raise ValueError("it contains values that are not finite floats")
    return value


def _numbers(value: torch.Tensor) -> np.ndarray:
    """Return a dense vector as a NumPy array; raise a ValueError if it is not dense or not a vector."""
    if value.dim() != 1 or value.layout is not torch.strided:
        raise ValueError("its parts are not dense vectors")
    return value.cpu().numpy()


def _check_sparse(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, int]) -> None:
    """Raise a ValueError if the parts of a CSC array are inconsistent, which SciPy does not check.

    Args:
        data: float [entries], the values.
        indices: int [entries], the row of each value, column by column.
        indptr: int [columns + 1], the index of each column's first value in ``data``, and the number of values.
        shape: number of rows and columns.
    """
    rows, columns = shape
    if data.dtype.kind != "f" or not np.isfinite(data).all():
        raise ValueError("it contains values that are not finite floats")
    if any(part.dtype not in (np.int32, np.int64) for part in (indices, indptr)):
        raise ValueError("its indices are not integers")
    if len(indptr) != columns + 1 or indptr[0] != 0 or indptr[-1] != len(data) or (np.diff(indptr) < 0).any():
        raise ValueError(f"its column pointers are not those of {columns} columns")
    if len(indices) != len(data) or (len(indices) and not 0 <= indices.min() <= indices.max() < rows):
        raise ValueError(f"its row indices are not between 0 and {rows - 1}, one for each value")
    place = np.repeat(np.arange(columns, dtype=np.int64), np.diff(indptr)) * rows + indices
    if len(np.unique(place)) < len(place):
        raise ValueError("it has two entries at the same position")
