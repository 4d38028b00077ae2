"""The user's own most frequent items, then everybody's."""

import numpy as np
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import NextBasketRecommender
from recbole.model.basket_histories import Incidence


class GPTopFreq(NextBasketRecommender):
    """Ranks by the number of the user's baskets with the item, and where these are equal by everybody's.

    The baseline GP-TopFreq of M. Li et al., "A Next Basket Recommendation Reality Check", TOIS 2023. Everybody's are
    the retained baskets up to and including the training targets; the user's own are all in the history that is asked
    about. :class:`PTopFreq` and :class:`GTopFreq` know one of the two.
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
        """Count the items of the retained training baskets, over the largest count plus one: below 1."""
        counts = np.bincount(dataset.log.item[dataset.train_rows], minlength=self.n_items)
        self.popularity = torch.from_numpy(counts / (counts.max(initial=0) + 1)).to(self.popularity)

    def learned(self) -> list[torch.Tensor]:
        """Return everybody's frequencies; a user's own are read from the question."""
        return [self.popularity]

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return zero: there is nothing to learn."""
        return self.fake_loss.sum() * 0

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch, n_items]: a whole number of baskets plus a popularity below 1."""
        scores = self.popularity.new_zeros(len(interaction), self.n_items)
        if self.general:
            scores += self.popularity
        if self.personal:
            history = Incidence.of(interaction[self.HISTORY_ITEMS])
            ones = scores.new_ones(len(history.item))
            scores.index_put_((history.user, history.item), ones, accumulate=True)
        return scores
