"""The part of RecBole's data set interface that its model files use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from recbole.data.feature_columns import feature_columns, feature_vocabulary, kind_of
from recbole.data.interaction import Interaction
from recbole.data.log import InteractionLog
from recbole.data.ragged import Ragged, ranges
from recbole.data.split import TRAIN
from recbole.data.statistics import Statistics
from recbole.data.vocabulary import Vocabulary
from recbole.utils import FeatureType

if TYPE_CHECKING:
    import scipy.sparse

    from recbole.config import Config


class RecBoleNames(Statistics, ABC):
    """The attributes and methods of RecBole's ``Dataset`` that model files use; base class of this package's own.

    They describe retained rows (interactions that are not forgotten), by default only those for training.

    Attributes:
        shown: the split label (see :mod:`recbole.data.split`) of the rows that are described; None for all rows.
        built: whether this object stands for one of the data sets that RecBole's ``build`` returns. If so, examples are
            in another order, see :meth:`shown_examples`.
    """

    shown: int | None = TRAIN
    built = False

    task_type: ClassVar[str]
    config: Config
    log: InteractionLog
    forgotten: np.ndarray
    uid_field: str
    iid_field: str
    time_field: str

    @property
    @abstractmethod
    def columns(self) -> dict[str, np.ndarray]:
        """The log's further columns as models see them: field name to array [len(log)]."""

    @abstractmethod
    def collate(self, examples: np.ndarray) -> Interaction:
        """Return the batch of training examples (int64 [n], identifiers) as they are after forgetting."""

    @abstractmethod
    def train_examples(self) -> np.ndarray:
        """Return the identifiers of all retained training examples, int64, ascending."""

    @abstractmethod
    def still_examples(self, examples: np.ndarray) -> np.ndarray:
        """Return those of ``examples`` (int64 identifiers) that still exist after forgetting, in their order."""

    @property
    def n_users(self) -> int:
        """Number of user ids, including the padding."""
        return len(self.log.vocabulary["user"])

    @property
    def n_items(self) -> int:
        """Number of item ids, including the padding."""
        return len(self.log.vocabulary["item"])

    user_num, item_num = n_users, n_items

    def _vocabulary(self, field: str) -> Vocabulary:
        """Return the tokens of a token field of the interactions or of the user and item features.

        Raises:
            ValueError: the field does not exist or holds numbers.
        """
        side = {self.uid_field: "user", self.iid_field: "item"}.get(field, field)
        if side in self.log.vocabulary:
            return self.log.vocabulary[side]
        column = self._feature_columns().get(field)
        if column is None or kind_of(column.type) in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ):
            raise ValueError(f"'{field}' is not a token field of {self.log.name}")
        return feature_vocabulary(column)

    def num(self, field: str) -> int:
        """Return the number of ids of a token field, including the padding.

        Raises:
            ValueError: the field does not exist or holds numbers.
        """
        column = self._feature_columns().get(field)
        if column is not None and kind_of(column.type) in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ):
            raise ValueError(f"'{field}' holds numbers, not tokens")
        return len(self._vocabulary(field))

    @overload
    def token2id(self, field: str, tokens: str) -> int: ...

    @overload
    def token2id(self, field: str, tokens: list[str] | np.ndarray) -> np.ndarray: ...

    def token2id(self, field: str, tokens: str | list[str] | np.ndarray) -> int | np.ndarray:
        """Return the ids of tokens: an int for a str, an int64 array for a list or an array.

        Raises:
            ValueError: a token is unknown, or the field is not a token field.
        """
        wanted = [tokens] if isinstance(tokens, str) else list(tokens)
        ids = self._vocabulary(field).ids(wanted)
        if (ids < 0).any():
            raise ValueError(f"token [{wanted[int(np.argmax(ids < 0))]}] does not exist in {field}")
        return int(ids[0]) if isinstance(tokens, str) else ids

    def id2token(self, field: str, ids: npt.ArrayLike) -> Any:
        """Return the tokens of ids in a token field: a str for an int, an object array of the same shape for an array.

        Raises:
            ValueError: the field is not a token field.
        """
        tokens = self._vocabulary(field).tokens(ids)
        return tokens if tokens.ndim else tokens.item()

    @property
    def train_rows(self) -> np.ndarray:
        """Log rows that are retained and labelled as training, int64, ascending."""
        return np.flatnonzero(self.in_training())

    def in_training(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return for each log row (int64 indices; all by default) whether it is one of :attr:`train_rows`, bool."""
        return (self.log.split[rows] == TRAIN) & ~self.forgotten[rows]

    @property
    def shown_rows(self) -> np.ndarray:
        """Retained log rows with the split label :attr:`shown` (with any label, if that is None), int64, ascending."""
        if self.shown == TRAIN:
            return self.train_rows
        return np.flatnonzero(~self.forgotten & (True if self.shown is None else self.log.split == self.shown))

    @property
    def matrix_rows(self) -> np.ndarray:
        """Indices (int64) of the log rows that :meth:`inter_matrix` contains."""
        return self.shown_rows

    def shown_examples(self) -> np.ndarray:
        """Return identifiers (int64) of the retained examples with the split label :attr:`shown`, in RecBole's order.

        Examples are grouped by user. If :attr:`built` is True and the data have times, users are ordered by the time of
        their first example in any split, otherwise by id.
        """
        examples = self.train_examples() if self.shown == TRAIN else self.still_examples(self.shown_rows)
        time = self.log.columns.get(self.time_field)
        if not self.built or time is None or not len(examples):
            return examples
        every = np.flatnonzero(self.log.split >= TRAIN)
        first = every[np.diff(self.log.user[every], prepend=-1) != 0]
        times = np.zeros(self.n_users, dtype=time.dtype)
        times[self.log.user[first]] = time[first]
        starts = np.flatnonzero(np.diff(self.log.user[examples], prepend=-1))
        sizes = np.diff(starts, append=len(examples))
        order = np.argsort(times[self.log.user[examples[starts]]], kind="stable")
        return examples[ranges(starts[order], (starts + sizes)[order])]

    @property
    def inter_feat(self) -> Interaction:
        """The examples of :meth:`shown_examples` as one :class:`Interaction`.

        In CF it includes the columns of sequences, padded with 0 on the right.
        """
        examples = self.shown_examples()
        batch = self.collate(examples)
        for name, values in self.log.lists.items() if self.task_type == "CF" else ():
            batch[name] = torch.from_numpy(values.take(examples).padded())
        return batch

    @overload
    def inter_matrix(self, form: Literal["coo"] = "coo", value_field: str | None = None) -> scipy.sparse.coo_matrix: ...

    @overload
    def inter_matrix(self, form: Literal["csr"], value_field: str | None = None) -> scipy.sparse.csr_matrix: ...

    def inter_matrix(
        self, form: str = "coo", value_field: str | None = None
    ) -> scipy.sparse.coo_matrix | scipy.sparse.csr_matrix:
        """Return the interactions :attr:`matrix_rows` as a SciPy sparse matrix [n_users, n_items].

        Args:
            form: ``"coo"`` or ``"csr"``.
            value_field: the numeric column with the values; ``None`` for ones. If a user has an item several times,
                there are several entries in ``coo``, and their sum in ``csr``.

        Raises:
            ValueError: ``form`` is neither of the two.
        """
        if form not in ("coo", "csr"):
            raise ValueError(f"inter_matrix: form '{form}' is not 'coo' or 'csr'")
        import scipy.sparse  # most models need no SciPy

        rows = self.matrix_rows
        values = np.ones(len(rows)) if value_field is None else self.columns[value_field][rows]
        shape = (self.n_users, self.n_items)
        matrix = scipy.sparse.coo_matrix((values, (self.log.user[rows], self.log.item[rows])), shape=shape)
        return matrix if form == "coo" else matrix.tocsr()

    def history_item_matrix(
        self, value_field: str | None = None, max_history_len: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the items of each user, padded as in RecBole.

        Args:
            value_field: the numeric column with the values; ``None`` for ones.
            max_history_len: keep only this many of each user's items, the first ones; ``None`` keeps all.

        Returns:
            Item ids int64 [n_users, longest], values float32 of that shape, and the number of items int64 [n_users].
        """
        return self._history(self.log.user, self.log.item, self.n_users, value_field, max_history_len)

    def history_user_matrix(
        self, value_field: str | None = None, max_history_len: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the users of each item, padded as in RecBole.

        Args:
            value_field: the numeric column with the values; ``None`` for ones.
            max_history_len: keep only this many of each item's users, the first ones; ``None`` keeps all.

        Returns:
            User ids int64 [n_items, longest], values float32 of that shape, and the number of users int64 [n_items].
        """
        return self._history(self.log.item, self.log.user, self.n_items, value_field, max_history_len)

    def _history(
        self, owners: np.ndarray, others: np.ndarray, n_owners: int, value_field: str | None, longest: int | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the items of each user, or the users of each item, in the form of :meth:`history_item_matrix`.

        Args:
            owners, others: int64 [len(log)], the user and the item of each log row; the other way round for the users
                of each item.
            n_owners: number of user ids (or item ids), including the padding.
            value_field: the numeric column with the values; ``None`` for ones.
            longest: keep only this many items of each user (or users of each item), the first; ``None`` keeps all.
        """
        rows = self.shown_rows
        rows = rows[np.argsort(owners[rows], kind="stable")]
        values = np.ones(len(rows)) if value_field is None else self.columns[value_field][rows]
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
        """Return the loaded user features as an :class:`Interaction` with one row for each user id."""
        return Interaction({self.uid_field: np.arange(self.n_users)} | self._features("user", self.uid_field))

    def get_item_feature(self) -> Interaction:
        """Return the loaded item features as an :class:`Interaction` with one row for each item id."""
        return Interaction({self.iid_field: np.arange(self.n_items)} | self._features("item", self.iid_field))

    user_feat = property(get_user_feature)
    item_feat = property(get_item_feature)

    def _features(self, side: str, id_field: str) -> dict[str, np.ndarray]:
        """Return the features of all users or all items (``side``), as a dict from name to array [n] or [n, longest].

        Arrays are indexed by user or item id. Values are numbers, or ids of tokens from 1 on. Sequences are padded with
        0 on the right.
        """
        found = feature_columns(self.config, self.log, side, id_field)
        return {name: values.padded() if isinstance(values, Ragged) else values for name, values in found.items()}

    def _feature_columns(self) -> dict[str, pa.ChunkedArray]:
        """Dict from column name to Arrow column, for all columns of the loaded ``.user`` and ``.item`` files."""
        tables = self.log.features.items()
        return {name: table[name] for _, table in tables for name in table.column_names}

    def join(self, batch: Interaction) -> Interaction:
        """Add the loaded features of a batch's users and items to the batch as columns, in place, and return it."""
        for side, field in (("user", self.uid_field), ("item", self.iid_field)):
            if side in self.log.features and field in batch:
                batch.update(getattr(self, f"{side}_feat")[batch[field]])
        return batch

    @property
    def dataset_path(self) -> str:
        """The folder of the data set."""
        return self.config["data_path"]

    @property
    def field2type(self) -> dict[str, FeatureType]:
        """Dict from field name to :class:`~recbole.utils.FeatureType`, for all loaded columns."""
        ids = {self.uid_field: FeatureType.TOKEN, self.iid_field: FeatureType.TOKEN}
        token = self.log.vocabulary
        of_rows = {name: FeatureType.TOKEN if name in token else FeatureType.FLOAT for name in self.columns}
        of_lists = {name: FeatureType.TOKEN_SEQ if name in token else FeatureType.FLOAT_SEQ for name in self.log.lists}
        of_sides = {name: kind_of(column.type) for name, column in self._feature_columns().items()}
        return of_sides | of_rows | of_lists | ids

    @property
    def field2seqlen(self) -> dict[str, int]:
        """Dict from the name of a sequence field in batches to its maximal length; empty in tasks other than SBR."""
        if self.task_type != "SBR":
            return {}
        suffix, length = self.config["LIST_SUFFIX"], self.config["MAX_ITEM_LIST_LENGTH"]
        return {name + suffix: length for name in (self.iid_field, *self.log.columns)}
