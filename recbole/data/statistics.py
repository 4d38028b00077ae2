"""The part of RecBole's ``Dataset`` interface that describes fields and counts interactions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from recbole.utils import FeatureSource, FeatureType

if TYPE_CHECKING:
    from recbole.config import Config
    from recbole.data.log import InteractionLog
    from recbole.data.vocabulary import Vocabulary

_SEQUENCES = (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ)


class Statistics(ABC):
    """The attributes and methods of RecBole's ``Dataset`` about fields and counts.

    Counts cover the interactions in :attr:`shown_rows`, which usually are the training rows that are not forgotten.
    """

    config: Config
    log: InteractionLog
    uid_field: str
    iid_field: str

    @property
    @abstractmethod
    def n_users(self) -> int:
        """Number of user ids, including the padding."""

    @property
    @abstractmethod
    def n_items(self) -> int:
        """Number of item ids, including the padding."""

    @property
    @abstractmethod
    def shown_rows(self) -> np.ndarray:
        """Indices of the log's rows (interactions) that the statistics count, int64."""

    @property
    @abstractmethod
    def field2type(self) -> dict[str, FeatureType]:
        """Field name to :class:`~recbole.utils.FeatureType`, for all loaded columns."""

    @abstractmethod
    def _vocabulary(self, field: str) -> Vocabulary:
        """Return the :class:`Vocabulary` of a token field."""

    # --- counts --------------------------------------------------------------------------------------------------

    @property
    def inter_num(self) -> int:
        """Number of interactions in :attr:`shown_rows`."""
        return len(self.shown_rows)

    def counter(self, field: str) -> Counter[int]:
        """Count the interactions of each id in a token column; return a Counter from the id to the number of rows.

        Args:
            field: the user id field, the item id field or another token column.

        Raises:
            ValueError: the interactions have no such token column.
        """
        own = {self.uid_field: self.log.user, self.iid_field: self.log.item}
        if field not in own and (field not in self.log.columns or field not in self.log.vocabulary):
            raise ValueError(f"'{field}' is not a token column of the interactions in {self.log.name}")
        ids = own[field] if field in own else self.log.columns[field]
        found, times = np.unique(ids[self.shown_rows], return_counts=True)
        return Counter(dict(zip(found.tolist(), times.tolist(), strict=True)))

    @property
    def user_counter(self) -> Counter[int]:
        """User id to number of interactions, for users who have any."""
        return self.counter(self.uid_field)

    @property
    def item_counter(self) -> Counter[int]:
        """Item id to number of interactions, for items that have any."""
        return self.counter(self.iid_field)

    @property
    def avg_actions_of_users(self) -> float:
        """Mean number of interactions of the users who have any."""
        return self.inter_num / max(len(self.user_counter), 1)

    @property
    def avg_actions_of_items(self) -> float:
        """Mean number of interactions of the items that have any."""
        return self.inter_num / max(len(self.item_counter), 1)

    @property
    def sparsity(self) -> float:
        """Share of (user, item) pairs without interaction; as in RecBole, padding ids count as a user and an item."""
        return 1 - self.inter_num / self.n_users / self.n_items

    # --- fields --------------------------------------------------------------------------------------------------

    @property
    def dataset_name(self) -> str:
        """The name of the data set."""
        return self.log.name

    @property
    def field2source(self) -> dict[str, FeatureSource]:
        """Dict from field name to :class:`FeatureSource`: the file with the field, or its role as user or item id."""
        sides = ((FeatureSource.USER, "user"), (FeatureSource.ITEM, "item"))
        tables = [(source, self.log.features[side]) for source, side in sides if side in self.log.features]
        found = {name: source for source, table in tables for name in table.column_names}
        own = dict.fromkeys((name for name in self.field2type if name not in found), FeatureSource.INTERACTION)
        return found | own | {self.uid_field: FeatureSource.USER_ID, self.iid_field: FeatureSource.ITEM_ID}

    def fields(self, ftype: object = None, source: object = None) -> list[str]:
        """Return the names of the fields with the given types and sources.

        Args:
            ftype: a :class:`FeatureType`, several in a tuple, list or set, or None for any.
            source: a :class:`FeatureSource`, several in a tuple, list or set, or None for any.
        """
        types, sources = _several(ftype), _several(source)
        of = self.field2source
        return [
            name
            for name, kind in self.field2type.items()
            if (types is None or kind in types) and (sources is None or of[name] in sources)
        ]

    @property
    def float_like_fields(self) -> list[str]:
        """Names of the fields that hold numbers, single ones or sequences."""
        return self.fields((FeatureType.FLOAT, FeatureType.FLOAT_SEQ))

    @property
    def token_like_fields(self) -> list[str]:
        """Names of the fields that hold tokens, single ones or sequences."""
        return self.fields((FeatureType.TOKEN, FeatureType.TOKEN_SEQ))

    @property
    def seq_fields(self) -> list[str]:
        """Names of the fields that hold sequences."""
        return self.fields(_SEQUENCES)

    @property
    def non_seq_fields(self) -> list[str]:
        """Names of the fields that hold single values."""
        return self.fields((FeatureType.TOKEN, FeatureType.FLOAT))

    @property
    def field2id_token(self) -> dict[str, np.ndarray]:
        """Dict from the name of a token field to its tokens, an object array indexed by id."""
        vocabularies = {name: self._vocabulary(name) for name in self.token_like_fields}
        return {name: one.tokens(np.arange(len(one))) for name, one in vocabularies.items()}

    @property
    def field2token_id(self) -> dict[str, dict[str, int]]:
        """Dict from the name of a token field to a dict from each token to its id."""
        return {
            name: {str(token): at for at, token in enumerate(tokens)} for name, tokens in self.field2id_token.items()
        }

    @property
    def item_id_list_field(self) -> str:
        """Name of the batch column with the items before the target."""
        return f"{self.iid_field}{self.config['LIST_SUFFIX']}"

    @property
    def item_list_length_field(self) -> str:
        """Name of the batch column with the number of items before the target."""
        return str(self.config["ITEM_LIST_LENGTH_FIELD"])


def _several(of: object) -> tuple[object, ...] | None:
    return of if of is None or isinstance(of, tuple) else tuple(of) if isinstance(of, (list, set)) else (of,)
