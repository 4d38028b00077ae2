"""The data set that ``create_dataset`` returns to a script, as in RecBole: all interactions, before the split."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recbole.data.dataset import Dataset
from recbole.data.feature_columns import feature_columns
from recbole.data.ragged import Ragged
from recbole.data.split import TEST, TRAIN, VALID

if TYPE_CHECKING:
    from recbole.config import Config


class WholeDataset:
    """All interactions of a data set, before they are split into training, validation and test.

    Interactions are sorted by user. Those of a user have the order in which they are split: by time, or shuffled.
    Attributes that this class does not define, such as ``user_num``, are those of :attr:`data`.

    Args:
        data: the :class:`~recbole.data.dataset.Dataset` of the task, from which no interaction has been removed.

    Attributes:
        data: a copy of it, whose attributes with RecBole's names, such as ``inter_num``, refer to all interactions
            instead of only the training interactions.
        config: the settings.
    """

    def __init__(self, data: Dataset) -> None:
        self.data = data.showing(None)
        self.config: Config = data.config

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "data":
            raise AttributeError(name)
        return getattr(self.data, name)

    def __len__(self) -> int:
        return self.data.inter_num

    @cached_property
    def inter_feat(self) -> pd.DataFrame:
        """The interactions as a table, one row per interaction, with user and item ids and all other loaded columns.

        In columns of sequences (type ``token_seq`` or ``float_seq``), each value is an array.
        """
        data, log = self.data, self.data.log
        columns = {data.uid_field: log.user, data.iid_field: log.item} | data.columns
        return _frame(columns | {name: values for name, values in log.lists.items()})[~data.forgotten]

    @cached_property
    def user_feat(self) -> pd.DataFrame | None:
        """The users' features, one row per user id including padding (row 0); None if none were loaded."""
        return self._features("user", self.data.uid_field)

    @cached_property
    def item_feat(self) -> pd.DataFrame | None:
        """The items' features, one row per item id including padding (row 0); None if none were loaded."""
        return self._features("item", self.data.iid_field)

    def _features(self, side: str, id_field: str) -> pd.DataFrame | None:
        if side not in self.data.log.features:
            return None
        columns = feature_columns(self.config, self.data.log, side, id_field)
        ids = np.arange(len(self.data.log.vocabulary[side]))
        return _frame({id_field: ids, **columns})

    def build(self) -> list[Dataset]:
        """Split the interactions; return the data sets for training, validation and test, as the loaders need them.

        All three contain all interactions. Their attributes with RecBole's names, such as ``inter_num``, refer to the
        interactions of one split.
        """
        return [self.data.showing(label) for label in (TRAIN, VALID, TEST)]

    def __str__(self) -> str:
        return "\n".join([
            self.data.log.name,
            f"The number of users: {self.user_num}",
            f"Average actions of users: {self.avg_actions_of_users}",
            f"The number of items: {self.item_num}",
            f"Average actions of items: {self.avg_actions_of_items}",
            f"The number of inters: {self.inter_num}",
            f"The sparsity of the dataset: {self.sparsity * 100}%",
            f"Remain Fields: {list(self.field2type)}",
        ])  # fmt: skip

    __repr__ = __str__


def _frame(columns: dict[str, np.ndarray | Ragged]) -> pd.DataFrame:
    """Return a table with the given columns (name to values), all of the same length.

    In a column from a ragged array (rows of different lengths), each value of the table is an array.
    """
    return pd.DataFrame({name: _series(values) for name, values in columns.items()})


def _series(values: np.ndarray | Ragged) -> pd.Series:
    if isinstance(values, Ragged):
        return pd.Series(np.split(values.values, values.offsets[1:-1]), dtype=object)
    return pd.Series(values)
