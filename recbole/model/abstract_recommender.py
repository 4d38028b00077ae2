"""Base classes under RecBole's names for collaborative filtering, session-based and next-basket recommendation."""

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, EvalRows, Interaction, nbr
from recbole.model.recommender import AbstractRecommender
from recbole.model.table_softmax import AT_ONCE
from recbole.model.user_views import UserView
from recbole.utils import InputType, ModelType

__all__ = [
    "AbstractRecommender",
    "AutoEncoderMixin",
    "GeneralRecommender",
    "NextBasketRecommender",
    "SequentialRecommender",
]


class GeneralRecommender(AbstractRecommender):
    """Base class of collaborative-filtering models, which identify a user by an id."""

    type = ModelType.GENERAL

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.USER_ID = config["USER_ID_FIELD"]
        self.ITEM_ID = config["ITEM_ID_FIELD"]
        self.NEG_ITEM_ID = config["NEG_PREFIX"] + self.ITEM_ID
        self.user_fields, self.item_fields = (self.USER_ID,), (self.ITEM_ID,)
        self.n_users = dataset.num(self.USER_ID)
        self.n_items = dataset.num(self.ITEM_ID)
        self.device = config["device"]

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return user [n_users, d] and item [n_items, d] embeddings whose inner products are the scores.

        The default, ``None``, means that the scores are not inner products of a user and an item embedding.
        """
        return None

    def pair_scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the differentiable scores, float [batch], of the batch's (user, item) pairs, before any sigmoid."""
        return self.predict(interaction)

    def list_scores(self, user: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Return differentiable scores, float [n, k], of n users (int64 [n]) with k items each (int64 [n, k]).

        They are the :meth:`pair_scores` of the user in row i of ``user`` with the items in row i of ``items``.
        """
        pairs = {self.USER_ID: user.repeat_interleave(items.shape[1]), self.ITEM_ID: items.flatten()}
        return self.pair_scores(Interaction(pairs)).view(items.shape)

    def user_views(self, dataset: Dataset | None = None) -> dict[str, UserView]:
        """Return ``{"table": view}``, a :class:`UserView` of the user embedding table; {} for a model without one.

        The table is the attribute ``user_embedding``. ``dataset`` is not used.
        """
        table = getattr(self, "user_embedding", None)
        if not isinstance(table, nn.Embedding):
            return {}
        return {"table": UserView(lambda: table.weight, ("user_embedding.weight",))}


class AutoEncoderMixin:
    """Methods of RecBole's auto-encoders, which represent a user by a row of the rating matrix.

    Attributes:
        reads_rows: True, so that a model with pairwise input may be trained without sampled negatives.
        history_item_id: int64 [n_users, longest], ids of the retained training items of each user, padded with 0; set
            by :meth:`build_histroy_items`.
        history_item_value: float [n_users, longest], 1 for each of these items, 0 for padding.
    """

    reads_rows = True
    n_items: int
    device: torch.device
    history_item_id: torch.Tensor
    history_item_value: torch.Tensor

    def build_histroy_items(self, dataset: Dataset) -> None:  # RecBole's spelling
        """Set :attr:`history_item_id` and :attr:`history_item_value` from the retained training interactions."""
        self.history_item_id, self.history_item_value, _ = dataset.history_item_matrix()
        self.history_item_id = self.history_item_id.to(self.device)
        self.history_item_value = self.history_item_value.to(self.device)

    def get_rating_matrix(self, user: torch.Tensor) -> torch.Tensor:
        """Return the rows of the rating matrix, float [batch, n_items], for user ids (int64 [batch])."""
        rows = torch.zeros(len(user), self.n_items, device=self.device)
        return rows.scatter_(1, self.history_item_id[user], self.history_item_value[user])


class SequentialRecommender(AbstractRecommender):
    """Base class of session-based models, which represent a session (or user) by the sequence of previous items.

    If the class does not declare ``input_type``, the setting ``loss_type`` determines it: CE (cross-entropy) needs no
    sampled negatives, BPR does.
    """

    type = ModelType.SEQUENTIAL
    input_type = None

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.input_type = type(self).input_type or config["MODEL_INPUT_TYPE"]
        self.USER_ID = config["USER_ID_FIELD"]
        self.ITEM_ID = config["ITEM_ID_FIELD"]
        self.ITEM_SEQ = self.ITEM_ID + config["LIST_SUFFIX"]
        self.ITEM_SEQ_LEN = config["ITEM_LIST_LENGTH_FIELD"]
        self.POS_ITEM_ID = self.ITEM_ID
        self.NEG_ITEM_ID = config["NEG_PREFIX"] + self.ITEM_ID
        self.user_fields, self.item_fields = (self.USER_ID,), (self.ITEM_SEQ, self.POS_ITEM_ID)
        self.max_seq_length = config["MAX_ITEM_LIST_LENGTH"]
        self.n_items = dataset.num(self.ITEM_ID)
        self.device = config["device"]

    def gather_indexes(self, output: torch.Tensor, gather_index: torch.Tensor) -> torch.Tensor:
        """Return one vector of each sequence, float [batch, d].

        Args:
            output: float [batch, length, d], a vector for each position of each sequence.
            gather_index: int64 [batch], the position to select in each sequence.
        """
        index = gather_index.view(-1, 1, 1).expand(-1, -1, output.shape[-1])
        return output.gather(dim=1, index=index).squeeze(1)

    def get_attention_mask(self, item_seq: torch.Tensor, bidirectional: bool = False) -> torch.Tensor:
        """Return a mask to add to attention scores: -10000 where a position may not be attended to, else 0.

        Args:
            item_seq: int64 [batch, length], item ids; padding (0) is never attended to.
            bidirectional: whether a position may attend to later positions.

        Returns:
            float tensor [batch, 1, length or 1, length]; the third dimension is 1 if ``bidirectional``.
        """
        allowed = (item_seq != 0)[:, None, None, :]
        if not bidirectional:
            length = item_seq.shape[1]
            allowed = allowed & torch.ones(length, length, dtype=torch.bool, device=item_seq.device).tril()
        return torch.where(allowed, 0.0, -10000.0)


class NextBasketRecommender(AbstractRecommender):
    """Base class of next-basket models, which represent a user by the sequence of previous baskets.

    Attributes:
        people_at_once: the largest number of users in one of the smaller batches of :meth:`pieces`.
    """

    type = ModelType.NEXT_BASKET
    input_type = InputType.LISTWISE
    HISTORY_ITEMS = nbr.HISTORY_ITEMS
    HISTORY_LENGTH = nbr.HISTORY_LENGTH
    BASKET_LENGTHS = nbr.BASKET_LENGTHS
    TARGET_ITEMS = nbr.TARGET_ITEMS
    TARGET_LENGTH = nbr.TARGET_LENGTH
    item_fields = (HISTORY_ITEMS, TARGET_ITEMS)
    people_at_once = 256

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.USER_ID = config["USER_ID_FIELD"]
        self.user_fields = (self.USER_ID,)
        self.ITEM_ID = config["ITEM_ID_FIELD"]
        self.n_items = dataset.num(self.ITEM_ID)
        self.device = config["device"]

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores, float [batch], of the batch's (basket history, item) pairs."""
        return self.full_sort_predict(interaction).gather(1, interaction[self.ITEM_ID].unsqueeze(1)).squeeze(1)

    def pieces(self, interaction: Interaction) -> list[Interaction]:
        """Split a batch into smaller batches of at most ``people_at_once`` users and ``AT_ONCE`` scores each.

        A batch has as many scores as users times items. Each of the smaller batches has at least one user.
        """
        step = max(min(self.people_at_once, AT_ONCE // self.n_items), 1)
        return [interaction[at : at + step] for at in range(0, len(interaction), step)]

    def views_of_histories(
        self,
        dataset: Dataset | None,
        name: str,
        vectors: Callable[[Interaction], torch.Tensor],
        parameters: tuple[str, ...],
        parts: tuple[Callable[[Interaction], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]] | None = None,
    ) -> dict[str, UserView]:
        """Return ``{name: view}`` with a :class:`UserView` of user vectors that are computed from basket histories.

        The history of a user ends before the test target.

        Args:
            dataset: the data, whose mask must not change while the view is used; if None, only the view's
                ``parameters`` can be used, and reading its matrix raises a ValueError.
            name: the name of the view.
            vectors: maps a batch of basket histories to user representations, float [batch, d], differentiable.
            parameters: names of the parameters that attribute unlearning changes to protect this representation.
            parts: ``vectors`` divided into two functions, so that the costly first one need not be repeated when only
                ``parameters`` change. The first maps a batch to a tensor [batch, ...] that does not depend on
                ``parameters``; the second maps this tensor to the representations. None if there is no such division.
        """

        @functools.cache
        def exposure() -> tuple[EvalRows, int]:
            if dataset is None:
                raise ValueError(f"the user view '{name}' is computed from basket histories: pass the dataset")
            return dataset.exposure_rows(np.arange(1, dataset.n_users)), dataset.n_users

        def over_all(function: Callable[[Interaction], torch.Tensor]) -> torch.Tensor:
            (rows, _), device = exposure(), next(self.parameters()).device
            starts = range(0, len(rows.entity), self.people_at_once)
            return torch.cat([function(rows.inputs[at : at + self.people_at_once].to(device)) for at in starts])

        def placed(made: torch.Tensor) -> torch.Tensor:
            rows, n_users = exposure()
            entity = torch.from_numpy(rows.entity).to(made.device)
            return made.new_zeros(n_users, made.shape[1]).index_copy(0, entity, made)

        def vectors_of_all() -> torch.Tensor:
            return placed(over_all(vectors))

        if parts is None:
            return {name: UserView(vectors_of_all, parameters, table=False)}
        first, then = parts

        def settled() -> Callable[[], torch.Tensor]:
            kept = over_all(first)
            return lambda: placed(then(kept))

        return {name: UserView(vectors_of_all, parameters, table=False, settled=settled)}

    def target_matrix(self, interaction: Interaction) -> torch.Tensor:
        """Return the target baskets as a matrix of zeros and ones, float [batch, n_items]; column 0 (padding) is 0."""
        items = interaction[self.TARGET_ITEMS]
        dtype = next(self.parameters()).dtype
        right = torch.zeros(len(items), self.n_items, dtype=dtype, device=items.device)
        right.scatter_(1, items.clamp_min(0), 1.0)
        right[:, 0] = 0.0
        return right
