"""The base classes of each task's models, under RecBole's names."""

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
    """A collaborative-filtering model: it knows users by their id."""

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
        """Return the matrices [n_users, d] and [n_items, d] of whose inner products the scores are, and nothing else.

        ``None``, as here, for a model that scores in another way.
        """
        return None

    def pair_scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch] of (user, item) pairs before any squashing, differentiable."""
        return self.predict(interaction)

    def list_scores(self, user: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Return the :meth:`pair_scores` of each of some users (int64 [n]) and a list of items (int64 [n, k])."""
        pairs = {self.USER_ID: user.repeat_interleave(items.shape[1]), self.ITEM_ID: items.flatten()}
        return self.pair_scores(Interaction(pairs)).view(items.shape)

    def user_views(self, dataset: Dataset | None = None) -> dict[str, UserView]:
        """Return ``table``, where there is one that goes by RecBole's name ``user_embedding``."""
        table = getattr(self, "user_embedding", None)
        if not isinstance(table, nn.Embedding):
            return {}
        return {"table": UserView(lambda: table.weight, ("user_embedding.weight",))}


class AutoEncoderMixin:
    """What RecBole's auto-encoders share: users as rows of a rating matrix.

    ``reads_rows`` says so: a pairwise model with it may be trained without negatives.
    """

    reads_rows = True
    n_items: int
    device: torch.device
    history_item_id: torch.Tensor
    history_item_value: torch.Tensor

    def build_histroy_items(self, dataset: Dataset) -> None:  # RecBole's spelling
        """Keep the retained training items of each user."""
        self.history_item_id, self.history_item_value, _ = dataset.history_item_matrix()
        self.history_item_id = self.history_item_id.to(self.device)
        self.history_item_value = self.history_item_value.to(self.device)

    def get_rating_matrix(self, user: torch.Tensor) -> torch.Tensor:
        """Return the rows of user ids (int64 [batch]), float [batch, n_items]."""
        rows = torch.zeros(len(user), self.n_items, device=self.device)
        return rows.scatter_(1, self.history_item_id[user], self.history_item_value[user])


class SequentialRecommender(AbstractRecommender):
    """A session-based model: it knows a user or session by the items so far.

    ``input_type`` follows from the setting ``loss_type`` (CE or BPR) unless the class declares one.
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
        """Return ``output[row, gather_index[row]]``: [batch, length, d] and [batch] to [batch, d]."""
        index = gather_index.view(-1, 1, 1).expand(-1, -1, output.shape[-1])
        return output.gather(dim=1, index=index).squeeze(1)

    def get_attention_mask(self, item_seq: torch.Tensor, bidirectional: bool = False) -> torch.Tensor:
        """Return what to add to attention scores: -10000 at padding and, unless ``bidirectional``, at later positions.

        Args:
            item_seq: int64 [batch, length], 0 is padding.
            bidirectional: let positions attend to later ones.

        Returns:
            float tensor [batch, 1, length or 1, length].
        """
        allowed = (item_seq != 0)[:, None, None, :]
        if not bidirectional:
            length = item_seq.shape[1]
            allowed = allowed & torch.ones(length, length, dtype=torch.bool, device=item_seq.device).tril()
        return torch.where(allowed, 0.0, -10000.0)


class NextBasketRecommender(AbstractRecommender):
    """A next-basket model: it knows a user by the baskets so far (:class:`~recbole.data.nbr.NextBasketDataset`).

    ``people_at_once`` is the most people of a piece (:meth:`pieces`).
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
        """Return the scores [batch] of the batch's (baskets so far, item) pairs."""
        return self.full_sort_predict(interaction).gather(1, interaction[self.ITEM_ID].unsqueeze(1)).squeeze(1)

    def pieces(self, interaction: Interaction) -> list[Interaction]:
        """Return pieces of ``people_at_once`` people, or of fewer, for whom there is room for all items' scores."""
        step = max(min(self.people_at_once, AT_ONCE // self.n_items), 1)
        return [interaction[at : at + step] for at in range(0, len(interaction), step)]

    def views_of_histories(
        self,
        dataset: Dataset | None,
        name: str,
        vectors: Callable[[Interaction], torch.Tensor],
        parameters: tuple[str, ...],
    ) -> dict[str, UserView]:
        """Return one user view by its name: what the model makes of the baskets before each person's test target.

        Args:
            dataset: under a mask that stays as it is; None for a view that is named alone.
            name: of the view.
            vectors: from a batch of the task to what stands for its people, float [batch, d], differentiable.
            parameters: that a protection moves.
        """

        @functools.cache
        def asked() -> tuple[EvalRows, int]:
            if dataset is None:
                raise ValueError(f"the view {name} is of histories: it needs the data")
            return dataset.exposure_rows(np.arange(1, dataset.n_users)), dataset.n_users

        def matrix() -> torch.Tensor:
            (rows, n_users), device = asked(), next(self.parameters()).device
            starts = range(0, len(rows.entity), self.people_at_once)
            parts = [vectors(rows.inputs[at : at + self.people_at_once].to(device)) for at in starts]
            made, entity = torch.cat(parts), torch.from_numpy(rows.entity).to(device)
            return made.new_zeros(n_users, made.shape[1]).index_copy(0, entity, made)

        return {name: UserView(matrix, parameters, table=False)}

    def target_matrix(self, interaction: Interaction) -> torch.Tensor:
        """Return the target baskets as 0 and 1, float [batch, n_items]."""
        items = interaction[self.TARGET_ITEMS]
        dtype = next(self.parameters()).dtype
        right = torch.zeros(len(items), self.n_items, dtype=dtype, device=items.device)
        right.scatter_(1, items.clamp_min(0), 1.0)
        right[:, 0] = 0.0
        return right
