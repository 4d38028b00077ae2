"""WMF: weighted matrix factorisation without negative sampling."""

import numpy as np
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.data.ids import distinct
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.keyed_dropout import KeyedDropout
from recbole.utils import InputType, UserError


class WMF(GeneralRecommender):
    """Matrix factorisation that fits ``p_u . q_i`` to 1 on training pairs and, with a small weight, to 0 elsewhere.

    Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008, learned by
    gradient without sampling negatives as in C. Chen et al., "Efficient Neural Matrix Factorization without Sampling
    for Recommendation", TOIS 2020 (equation numbers not checked): with ``r = p_u . q_i``, ``w`` the setting
    ``negative_weight``, and ``S = sum_i q_i q_i^T`` over all items, up to a constant::

        sum_(u,i) ((1 - w) r^2 - 2 r) + w sum_u p_u^T S p_u

    In these papers an example is a user. Here it is a (user, item) pair, to which the share ``1 / |pairs of u|`` of the
    user's term ``w p_u^T S p_u`` is assigned, so that the sum over all examples is the whole loss. A forgotten pair has
    share 0. Forgetting a pair therefore removes its first term and treats the pair as unobserved, as retraining does.
    During training, dropout is applied to the user's factors, as in RecEraser's WMF.
    """

    input_type = InputType.POINTWISE
    loss_reduction = "sum"
    reach = 0  # the share depends on the user's other pairs
    rebuild_changes_scores = False
    selective = ("user_embedding.weight",)

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        if config["train_neg_sample_args"]:
            raise UserError("train_neg_sample_args: WMF uses no sampled negatives; set it to null")
        self.negative_weight = config["negative_weight"]
        self.user_embedding = nn.Embedding(self.n_users, config["embedding_size"])
        self.item_embedding = nn.Embedding(self.n_items, config["embedding_size"])
        self.dropout = KeyedDropout(config["dropout_prob"])
        for table in (self.user_embedding, self.item_embedding):
            nn.init.normal_(table.weight, 0, 0.01)
        self.rebuild(dataset)

    def rebuild(self, dataset: Dataset) -> None:
        """Store each user's share, 1 / number of retained training interactions, and the set of retained pairs.

        The share is the part of the user's term over all items that is assigned to each of these interactions.
        """
        users, items = dataset.log.user[dataset.train_rows], dataset.log.item[dataset.train_rows]
        counts = np.bincount(users, minlength=self.n_users)
        self._share = torch.from_numpy(1 / np.maximum(counts, 1)).to(self.device)
        self._pairs = torch.from_numpy(distinct(users * self.n_items + items)).to(self.device)

    def reads(self) -> dict[str, tuple[str, ...]]:
        """Return only the user table, because every example reads all item rows.

        See :meth:`AbstractRecommender.reads`.
        """
        return {"user_embedding.weight": (self.USER_ID,)}

    def _shares(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """Return each pair's share of its user's term over all items, float64 [batch]; 0 for forgotten pairs.

        Args:
            user, item: int64 [batch], ids of the pairs.
        """
        key = user * self.n_items + item
        at = torch.searchsorted(self._pairs, key).clamp_max(max(len(self._pairs) - 1, 0))
        known = self._pairs[at] == key if len(self._pairs) else torch.zeros_like(key, dtype=torch.bool)
        return torch.where(known, self._share[user], 0.0)

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the factor vectors of users and of items, each float [batch, d], for ids (int64 [batch])."""
        return self.user_embedding(user), self.item_embedding(item)

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the batch's part of the loss, summed over its pairs, a scalar."""
        user, item = interaction[self.USER_ID], interaction[self.ITEM_ID]
        p, q = self.forward(user, item)
        p = self.dropout(p)
        r = (p * q).sum(dim=1)
        items = self.item_embedding.weight[1:]
        everywhere = ((p @ (items.T @ items)) * p).sum(dim=1)
        w = self.negative_weight
        return ((1 - w) * r.square() - 2 * r + w * self._shares(user, item).to(p.dtype) * everywhere).sum()

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the factor vectors of all users [n_users, d] and items [n_items, d]."""
        return self.user_embedding.weight, self.item_embedding.weight

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of the (user, item) pairs, float [batch]."""
        p, q = self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])
        return (p * q).sum(dim=1)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        return self.user_embedding(interaction[self.USER_ID]) @ self.item_embedding.weight.T
