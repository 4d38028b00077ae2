"""The names under which RecBole's model files ask a data set about itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from recbole.data.arrow_arrays import filled
from recbole.data.interaction import Interaction
from recbole.data.log import InteractionLog
from recbole.data.split import TRAIN
from recbole.data.vocabulary import Vocabulary
from recbole.utils import FeatureType

if TYPE_CHECKING:
    import scipy.sparse

    from recbole.config import Config


class RecBoleNames(ABC):
    """RecBole's view of a :class:`~recbole.data.Dataset`: the retained *training* rows, and nothing else."""

    task_type: ClassVar[str]
    config: Config
    log: InteractionLog
    forgotten: np.ndarray
    uid_field: str
    iid_field: str

    @abstractmethod
    def collate(self, examples: np.ndarray) -> Interaction:
        """Return the :class:`Interaction` of training examples (int64 [n]) under the current mask."""

    @abstractmethod
    def train_examples(self) -> np.ndarray:
        """Return every retained training example, int64, ascending."""

    @property
    def n_users(self) -> int:
        """Number of user ids, the padding included."""
        return len(self.log.vocabulary["user"])

    @property
    def n_items(self) -> int:
        """Number of item ids, the padding included."""
        return len(self.log.vocabulary["item"])

    user_num, item_num = n_users, n_items

    def _vocabulary(self, field: str) -> Vocabulary:
        side = {self.uid_field: "user", self.iid_field: "item"}.get(field, field)
        if side not in self.log.vocabulary:
            raise ValueError(f"'{field}' is not a token field of {self.log.name}")
        return self.log.vocabulary[side]

    def num(self, field: str) -> int:
        """Return the number of ids of a token field, the padding included.

        Raises:
            ValueError: when the field holds no tokens.
        """
        column = self._feature_columns().get(field)
        if field in (self.uid_field, self.iid_field) or column is None:
            return len(self._vocabulary(field))
        if _kind(column.type) in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ):
            raise ValueError(f"'{field}' holds numbers, not tokens")
        return int(_numbers(column.combine_chunks())[0].max(initial=0)) + 1

    @overload
    def token2id(self, field: str, tokens: str) -> int: ...

    @overload
    def token2id(self, field: str, tokens: list[str] | np.ndarray) -> np.ndarray: ...

    def token2id(self, field: str, tokens: str | list[str] | np.ndarray) -> int | np.ndarray:
        """Return the ids of tokens: an int for a str, an int64 array for a list or an array.

        Raises:
            ValueError: for an unknown token.
        """
        asked = [tokens] if isinstance(tokens, str) else list(tokens)
        ids = self._vocabulary(field).ids(asked)
        if (ids < 0).any():
            raise ValueError(f"token [{asked[int(np.argmax(ids < 0))]}] does not exist in {field}")
        return int(ids[0]) if isinstance(tokens, str) else ids

    def id2token(self, field: str, ids: npt.ArrayLike) -> np.ndarray:
        """Return the tokens of ids."""
        return self._vocabulary(field).tokens(ids)

    @property
    def train_rows(self) -> np.ndarray:
        """Retained rows whose split label is train, int64."""
        return np.flatnonzero(self.in_training())

    def in_training(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return which of the log rows (int64; all by default) are among the :attr:`train_rows`, bool."""
        return (self.log.split[rows] == TRAIN) & ~self.forgotten[rows]

    @property
    def inter_num(self) -> int:
        """Number of retained training rows."""
        return len(self.train_rows)

    @property
    def inter_feat(self) -> Interaction:
        """The retained training examples as one :class:`Interaction`."""
        return self.collate(self.train_examples())

    @overload
    def inter_matrix(self, form: Literal["coo"] = "coo", value_field: str | None = None) -> scipy.sparse.coo_matrix: ...

    @overload
    def inter_matrix(self, form: Literal["csr"], value_field: str | None = None) -> scipy.sparse.csr_matrix: ...

    def inter_matrix(
        self, form: str = "coo", value_field: str | None = None
    ) -> scipy.sparse.coo_matrix | scipy.sparse.csr_matrix:
        """Return the retained training rows as a SciPy sparse matrix [n_users, n_items].

        Args:
            form: ``"coo"`` or ``"csr"``.
            value_field: a numeric column for the values; ones if ``None``. Repeated pairs stand repeatedly in
                ``coo`` and are summed in ``csr``.
        """
        if form not in ("coo", "csr"):
            raise ValueError(f"inter_matrix: form '{form}' is not 'coo' or 'csr'")
        import scipy.sparse  # most models need none

        rows = self.train_rows
        values = np.ones(len(rows)) if value_field is None else self.log.columns[value_field][rows]
        shape = (self.n_users, self.n_items)
        matrix = scipy.sparse.coo_matrix((values, (self.log.user[rows], self.log.item[rows])), shape=shape)
        return matrix if form == "coo" else matrix.tocsr()

    def history_item_matrix(
        self, value_field: str | None = None, max_history_len: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return RecBole's padded histories of users.

        Args:
            value_field: a numeric column for the values; ones if ``None``.
            max_history_len: keep so many items of each user, the first ones; all if ``None``.

        Returns:
            Item ids int64 [n_users, longest], values float32 of that shape, and lengths int64 [n_users].
        """
        return self._history(self.log.user, self.log.item, self.n_users, value_field, max_history_len)

    def history_user_matrix(
        self, value_field: str | None = None, max_history_len: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the users of each item, as :meth:`history_item_matrix` does the items of each user."""
        return self._history(self.log.item, self.log.user, self.n_items, value_field, max_history_len)

    def _history(
        self, owners: np.ndarray, others: np.ndarray, n_owners: int, value_field: str | None, longest: int | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows = self.train_rows
        rows = rows[np.argsort(owners[rows], kind="stable")]
        values = np.ones(len(rows)) if value_field is None else self.log.columns[value_field][rows]
        owner = owners[rows]
        lengths = np.bincount(owner, minlength=n_owners)
        slot = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        width = max(int(lengths.max(initial=0)), 1) if longest is None else longest
        kept = slot < width
        ids, weights = np.zeros((n_owners, width), dtype=np.int64), np.zeros((n_owners, width), dtype=np.float32)
        ids[owner[kept], slot[kept]], weights[owner[kept], slot[kept]] = others[rows[kept]], values[kept]
        return torch.from_numpy(ids), torch.from_numpy(weights), torch.from_numpy(np.minimum(lengths, width))

    # --- features of users and items -----------------------------------------------------------------------------

    def get_user_feature(self) -> Interaction:
        """Return the loaded columns of the users as an :class:`Interaction`, a row for each user id."""
        return Interaction({self.uid_field: np.arange(self.n_users)} | self._features("user", self.uid_field))

    def get_item_feature(self) -> Interaction:
        """Return the loaded columns of the items as an :class:`Interaction`, a row for each item id."""
        return Interaction({self.iid_field: np.arange(self.n_items)} | self._features("item", self.iid_field))

    user_feat = property(get_user_feature)
    item_feat = property(get_item_feature)

    def _features(self, side: str, id_field: str) -> dict[str, np.ndarray]:
        """Return name to array [n] or [n, longest]: ids of tokens from 1 on, or numbers; 0 is missing and padding."""
        table = self.log.features.get(side)
        if table is None:
            return {}
        vocabulary = self.log.vocabulary[side]
        row = vocabulary.ids(table[id_field].to_pylist())
        return {
            name: _by_id(_numbers(table[name].combine_chunks()), row, len(vocabulary))
            for name in table.column_names
            if name != id_field
        }

    def _feature_columns(self) -> dict[str, pa.ChunkedArray]:
        tables = self.log.features.items()
        return {name: table[name] for _, table in tables for name in table.column_names}

    @property
    def dataset_path(self) -> str:
        """The folder of the data set."""
        return self.config["data_path"]

    @property
    def field2type(self) -> dict[str, FeatureType]:
        """Field name to :class:`~recbole.utils.FeatureType`, of all loaded columns."""
        ids = {self.uid_field: FeatureType.TOKEN, self.iid_field: FeatureType.TOKEN}
        of_rows = {
            name: FeatureType.TOKEN if name in self.log.vocabulary else FeatureType.FLOAT for name in self.log.columns
        }
        return {name: _kind(column.type) for name, column in self._feature_columns().items()} | of_rows | ids

    @property
    def field2seqlen(self) -> dict[str, int]:
        """Field name to length, of the list columns of sequences; empty in other tasks."""
        if self.task_type != "SBR":
            return {}
        suffix, length = self.config["LIST_SUFFIX"], self.config["MAX_ITEM_LIST_LENGTH"]
        return {name + suffix: length for name in (self.iid_field, *self.log.columns)}


def _kind(arrow_type: pa.DataType) -> FeatureType:
    nested = pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type)
    text = pa.types.is_string(arrow_type.value_type if nested else arrow_type)
    if nested:
        return FeatureType.TOKEN_SEQ if text else FeatureType.FLOAT_SEQ
    return FeatureType.TOKEN if text else FeatureType.FLOAT


def _numbers(column: pa.Array) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an Arrow column as numbers: flat values, and the length of each row's list (None for single values)."""
    sizes, kind = None, _kind(column.type)
    if kind in (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ):
        sizes = np.diff(column.offsets.to_numpy())
        column = column.flatten()
    if kind in (FeatureType.TOKEN, FeatureType.TOKEN_SEQ):
        return filled(column.dictionary_encode().indices).astype(np.int64) + 1, sizes
    return np.nan_to_num(column.to_numpy(zero_copy_only=False)).astype(np.float32), sizes


def _by_id(numbers: tuple[np.ndarray, np.ndarray | None], row: np.ndarray, n_ids: int) -> np.ndarray:
    """Put values (and lists, padded) at the ids of their rows; ids below 0 are not in the data."""
    values, sizes = numbers
    width = () if sizes is None else (int(sizes.max(initial=1)),)
    result = np.zeros((n_ids, *width), dtype=values.dtype)
    if sizes is None:
        result[row[row >= 0]] = values[row >= 0]
        return result
    slot = np.arange(len(values)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    owner = np.repeat(row, sizes)
    result[owner[owner >= 0], slot[owner >= 0]] = values[owner >= 0]
    return result
