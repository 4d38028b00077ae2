"""GP-TopFreq: the user's own most frequent items, then the globally most frequent ones."""

import numpy as np
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import NextBasketRecommender
from recbole.model.basket_histories import Incidence


class GPTopFreq(NextBasketRecommender):
    """Ranks items by the number of the user's baskets with the item; ties by the number over all users.

    The baseline GP-TopFreq of M. Li et al., "A Next Basket Recommendation Reality Check", TOIS 2023. The counts over
    all users include the retained baskets up to and including the training targets. The counts of a user include the
    history in the evaluated example. :class:`PTopFreq` uses only the user's counts, :class:`GTopFreq` only those over
    all users.

    Attributes:
        personal: whether the user's own counts are used.
        general: whether the counts over all users are used.
        popularity: float [n_items], see :meth:`rebuild`.
    """

    trainable = False
    personal = True
    general = True
    popularity: torch.Tensor

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.fake_loss = nn.Parameter(torch.zeros(1))
        self.register_buffer("popularity", torch.zeros(self.n_items), persistent=False)
        self.rebuild(dataset)

    def rebuild(self, dataset: Dataset) -> None:
        """Set each item's popularity: the number of retained training baskets with the item / (largest number + 1).

        It is below 1, so that it only orders items that are in equally many of the user's baskets.
        """
        counts = np.bincount(dataset.log.item[dataset.train_rows], minlength=self.n_items)
        self.popularity = torch.from_numpy(counts / (counts.max(initial=0) + 1)).to(self.popularity)

    def learned(self) -> list[torch.Tensor]:
        """Return a list with the popularity of all items, float [n_items]; a user's own counts are not learned."""
        return [self.popularity]

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return a scalar zero; there is nothing to learn."""
        return self.fake_loss.sum() * 0

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items].

        A score is the number of the user's baskets with the item (unless ``personal`` is False) plus the item's
        popularity (unless ``general`` is False).
        """
        scores = self.popularity.new_zeros(len(interaction), self.n_items)
        if self.general:
            scores += self.popularity
        if self.personal:
            history = Incidence.of(interaction[self.HISTORY_ITEMS])
            ones = scores.new_ones(len(history.item))
            scores.index_put_((history.user, history.item), ones, accumulate=True)
        return scores
