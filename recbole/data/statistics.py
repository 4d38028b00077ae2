"""What RecBole's users ask a data set about itself: its fields, and how often users and items occur."""

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
    """RecBole's names for the statistics and the fields of the rows that a data set shows."""

    config: Config
    log: InteractionLog
    uid_field: str
    iid_field: str

    @property
    @abstractmethod
    def n_users(self) -> int:
        """Number of user ids, the padding included."""

    @property
    @abstractmethod
    def n_items(self) -> int:
        """Number of item ids, the padding included."""

    @property
    @abstractmethod
    def shown_rows(self) -> np.ndarray:
        """The log rows that are counted, int64."""

    @property
    @abstractmethod
    def field2type(self) -> dict[str, FeatureType]:
        """Field name to type."""

    @abstractmethod
    def _vocabulary(self, field: str) -> Vocabulary:
        """Return the tokens of a field."""

    # --- how often -----------------------------------------------------------------------------------------------

    @property
    def inter_num(self) -> int:
        """Number of interactions that are shown."""
        return len(self.shown_rows)

    def counter(self, field: str) -> Counter[int]:
        """Return how often each id of the interactions' users, items or another column of tokens occurs.

        Raises:
            ValueError: when interactions have no such tokens.
        """
        own = {self.uid_field: self.log.user, self.iid_field: self.log.item}
        if field not in own and (field not in self.log.columns or field not in self.log.vocabulary):
            raise ValueError(f"'{field}' is no column of tokens of {self.log.name}'s interactions")
        ids = own[field] if field in own else self.log.columns[field]
        found, times = np.unique(ids[self.shown_rows], return_counts=True)
        return Counter(dict(zip(found.tolist(), times.tolist(), strict=True)))

    @property
    def user_counter(self) -> Counter[int]:
        """How many interactions each user has, by id."""
        return self.counter(self.uid_field)

    @property
    def item_counter(self) -> Counter[int]:
        """How many interactions each item has, by id."""
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
        """Share of the (user, item) pairs that have no interaction; RecBole counts the paddings among both."""
        return 1 - self.inter_num / self.n_users / self.n_items

    # --- fields --------------------------------------------------------------------------------------------------

    @property
    def dataset_name(self) -> str:
        """The name of the data set."""
        return self.log.name

    @property
    def field2source(self) -> dict[str, FeatureSource]:
        """Field name to the file that it comes from, or to being the id of users or items."""
        sides = ((FeatureSource.USER, "user"), (FeatureSource.ITEM, "item"))
        tables = [(source, self.log.features[side]) for source, side in sides if side in self.log.features]
        found = {name: source for source, table in tables for name in table.column_names}
        own = dict.fromkeys((name for name in self.field2type if name not in found), FeatureSource.INTERACTION)
        return found | own | {self.uid_field: FeatureSource.USER_ID, self.iid_field: FeatureSource.ITEM_ID}

    def fields(self, ftype: object = None, source: object = None) -> list[str]:
        """Return the fields of some types and sources; each a member, several, or None for any."""
        types, sources = _several(ftype), _several(source)
        of = self.field2source
        return [
            name
            for name, kind in self.field2type.items()
            if (types is None or kind in types) and (sources is None or of[name] in sources)
        ]

    @property
    def float_like_fields(self) -> list[str]:
        """The fields of numbers."""
        return self.fields((FeatureType.FLOAT, FeatureType.FLOAT_SEQ))

    @property
    def token_like_fields(self) -> list[str]:
        """The fields of tokens."""
        return self.fields((FeatureType.TOKEN, FeatureType.TOKEN_SEQ))

    @property
    def seq_fields(self) -> list[str]:
        """The fields of sequences."""
        return self.fields(_SEQUENCES)

    @property
    def non_seq_fields(self) -> list[str]:
        """The fields of single values."""
        return self.fields((FeatureType.TOKEN, FeatureType.FLOAT))

    @property
    def field2id_token(self) -> dict[str, np.ndarray]:
        """Field of tokens to its tokens by id."""
        vocabularies = {name: self._vocabulary(name) for name in self.token_like_fields}
        return {name: one.tokens(np.arange(len(one))) for name, one in vocabularies.items()}

    @property
    def field2token_id(self) -> dict[str, dict[str, int]]:
        """Field of tokens to the id of each token."""
        return {
            name: {str(token): at for at, token in enumerate(tokens)} for name, tokens in self.field2id_token.items()
        }

    @property
    def item_id_list_field(self) -> str:
        """The field of the items before the target."""
        return f"{self.iid_field}{self.config['LIST_SUFFIX']}"

    @property
    def item_list_length_field(self) -> str:
        """The field of how many they are."""
        return str(self.config["ITEM_LIST_LENGTH_FIELD"])


def _several(of: object) -> tuple[object, ...] | None:
    return of if of is None or isinstance(of, tuple) else tuple(of) if isinstance(of, (list, set)) else (of,)
