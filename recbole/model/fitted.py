"""What models share that are a closed function of the retained training pairs."""

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
"""The array that a model learns."""


class FittedRecommender(GeneralRecommender, ABC, Generic[Learned]):
    """A model without gradients: fitted when it is first asked for scores, brought up to date after :meth:`rebuild`.

    What was fitted in one go is not stored in a checkpoint: it is a function of the data under the checkpoint's mask,
    from which the model is built when it is loaded. What has been brought up to date is stored, and used as it is, so
    that what is evaluated is what the updates left. It may be as large as the catalogue squared, in every checkpoint
    of unlearning and in the snapshot that a killed run goes on from.

    A subclass defines :meth:`fit`, :meth:`scores`, :meth:`learned` and :meth:`know`, and :meth:`update` if it knows a
    way that is cheaper than fitting anew.

    Attributes:
        learned_shape: the shape of the one array that :meth:`learned` returns in its list.
    """

    type = ModelType.TRADITIONAL  # type: ignore[assignment]  # see AbstractRecommender
    input_type = InputType.POINTWISE
    learned_shape: tuple[int, int]

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self._fitted: scipy.sparse.csr_matrix | None = None
        self.rebuild(dataset)

    def rebuild(self, dataset: Dataset) -> None:
        """Take the retained training pairs; fitting waits for the next question."""
        self._updated = self._fitted is not None
        self._retained = cast("scipy.sparse.csr_matrix", dataset.inter_matrix("csr").astype("float64"))

    @abstractmethod
    def fit(self, matrix: scipy.sparse.csr_matrix) -> None:
        """Learn from counts of pairs, a SciPy CSR matrix [n_users, n_items]."""

    @abstractmethod
    def learned(self) -> list[Learned]:
        """Return what was learned from the retained pairs, up to date, in a list of one."""

    def update(self, old: scipy.sparse.csr_matrix, new: scipy.sparse.csr_matrix) -> None:
        """Learn ``new`` having learned ``old``; by default, anew."""
        self.fit(new)

    @abstractmethod
    def know(self, learned: Learned) -> None:
        """Take the array that :meth:`learned` returned for what was learned from the retained pairs."""

    @abstractmethod
    def scores(self, matrix: scipy.sparse.csr_matrix, users: np.ndarray) -> torch.Tensor:
        """Return the scores [len(users), n_items] of user ids (int64 array), given the fitted ``matrix``."""

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return zero: there is nothing to learn by gradient."""
        return next(self.parameters()).sum() * 0

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch] of (user, item) pairs."""
        users, place = torch.unique(interaction[self.USER_ID], return_inverse=True)
        return self._scores(users)[place, interaction[self.ITEM_ID]]

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch, n_items]."""
        return self._scores(interaction[self.USER_ID])

    def learn(self) -> None:
        """Fit, or bring up to date, unless that has been done."""
        if self._fitted is None:
            self.fit(self._retained)
        elif self._fitted is not self._retained:
            self.update(self._fitted, self._retained)
        self._fitted = self._retained

    def other_parameter(self) -> dict[str, Any] | None:
        """Return what updates left, ``{"learned": tensor, or tensors of a sparse array}``; ``None`` without any."""
        return {"learned": _packed(*self.learned())} if self._updated else None

    def load_other_parameter(self, values: Mapping[str, Any] | None) -> None:
        """Know what :meth:`other_parameter` returned, instead of fitting.

        Raises:
            UserError: when it is not what this model learns from data of this size.
        """
        if values is None:
            return
        try:
            learned = _unpacked(values["learned"], self.learned_shape)
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"'other_parameter' holds no {self.learned_shape} array 'learned', as {type(self).__name__} has it on "
                f"this data ({error}); it is of another model, data set or filter"
            ) from error
        self.know(cast("Learned", learned))
        self._fitted, self._updated = self._retained, True

    def _scores(self, users: torch.Tensor) -> torch.Tensor:
        self.learn()
        return self.scores(self._retained, users.cpu().numpy()).to(users.device)


_SPARSE = ("data", "indices", "indptr")
"""The attributes of a compressed sparse array, in the order in which SciPy takes them."""


def _packed(array: torch.Tensor | scipy.sparse.csc_array) -> torch.Tensor | dict[str, torch.Tensor]:
    """Return a tensor as it is, and a SciPy CSC array as its parts: tensors by name."""
    if scipy.sparse.issparse(array):
        return {name: torch.from_numpy(getattr(array, name)) for name in _SPARSE}
    return array


def _unpacked(
    value: torch.Tensor | dict[str, torch.Tensor], shape: tuple[int, int]
) -> torch.Tensor | scipy.sparse.csc_array:
    """Return what was packed, once it is known to be whole; some other error than UserError if it is anything else."""
    if isinstance(value, dict):
        data, indices, indptr = (_numbers(value[name]) for name in _SPARSE)
        _check_sparse(data, indices, indptr, shape)
        return scipy.sparse.csc_array((data, indices, indptr), shape=shape)
    if value.shape != shape or value.layout is not torch.strided or value.device.type == "meta":
        raise ValueError(f"it is {tuple(value.shape)}, {value.layout}")
    if not value.is_floating_point() or not bool(value.isfinite().all()):
        raise ValueError("it holds something else than finite numbers")
    return value


def _numbers(value: torch.Tensor) -> np.ndarray:
    if value.dim() != 1 or value.layout is not torch.strided:
        raise ValueError("its parts are no lists of numbers")
    return value.cpu().numpy()


def _check_sparse(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, int]) -> None:
    """Refuse, by a ValueError, the parts of a CSC array that point outside of it: SciPy itself believes them.

    Args:
        data: of its entries.
        indices: their rows, by column.
        indptr: where each column's begin, and the end.
        shape: rows and columns.
    """
    rows, columns = shape
    if data.dtype.kind != "f" or not np.isfinite(data).all():
        raise ValueError("it holds something else than finite numbers")
    if any(part.dtype not in (np.int32, np.int64) for part in (indices, indptr)):
        raise ValueError("its places are no integers")
    if len(indptr) != columns + 1 or indptr[0] != 0 or indptr[-1] != len(data) or (np.diff(indptr) < 0).any():
        raise ValueError(f"its columns are not those of {columns}")
    if len(indices) != len(data) or (len(indices) and not 0 <= indices.min() <= indices.max() < rows):
        raise ValueError(f"its entries are not in {rows} rows")
    place = np.repeat(np.arange(columns, dtype=np.int64), np.diff(indptr)) * rows + indices
    if len(np.unique(place)) < len(place):
        raise ValueError("it has two entries in one place")
