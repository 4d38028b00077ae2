"""TIFU-KNN: item frequencies of the user and of the nearest users."""

import warnings
from typing import cast

import scipy.sparse
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.data.baskets import BasketLog
from recbole.model.abstract_recommender import NextBasketRecommender
from recbole.model.basket_histories import Incidence
from recbole.utils import UserError


class TIFUKNN(NextBasketRecommender):
    """Scores items by time-decayed item frequencies of the user and of the nearest users.

    H. Hu, X. He, J. Gao, Z. Zhang, "Modeling Personalized Item Frequency Information for Next-basket Recommendation",
    SIGIR 2020 (equation numbers not checked). The baskets b_1 .. b_T of a user, as multi-hot vectors, are divided into
    groups of ``group_size``; the last group may be smaller. A group of n baskets has the vector 1/n sum_j r_b^(n-j)
    b_j, and a user with K groups has the vector 1/K sum_k r_g^(K-k) g_k, where g_k are the groups' vectors; r_b is
    ``within_decay_rate`` and r_g is ``group_decay_rate``. The score is ``alpha`` times the user's vector plus ``1 -
    alpha`` times the mean vector of the ``n_neighbors`` nearest other users by Euclidean distance.

    Neighbours are represented by their retained baskets up to and including the training target. The authors' code
    represents them by all baskets except the last. The paper does not say which group is smaller if ``group_size`` does
    not divide T; here it is the last one.
    """

    trainable = False

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.group_size, self.n_neighbors = config["group_size"], config["n_neighbors"]
        self.within_decay, self.group_decay = config["within_decay_rate"], config["group_decay_rate"]
        self.alpha = config["alpha"]
        for name in ("group_size", "n_neighbors"):
            if config[name] < 1:
                raise UserError(f"{name} should be 1 or more, not {config[name]}")
        self.fake_loss = nn.Parameter(torch.zeros(1))
        self.rebuild(dataset)

    def rebuild(self, dataset: Dataset) -> None:
        """Compute the vectors of all users with a retained training basket."""
        self.n_users, rows = dataset.n_users, torch.from_numpy(dataset.train_rows)
        log = cast("BasketLog", dataset.log)
        log_user, item, basket = (torch.from_numpy(a)[rows] for a in (log.user, log.item, log.basket))
        users, user = torch.unique_consecutive(log_user, return_inverse=True)
        _, basket = torch.unique_consecutive(basket, return_inverse=True)
        first = torch.full((len(users),), len(rows)).scatter_reduce(0, user, basket, "amin")
        lengths = torch.zeros(len(users), dtype=torch.int64).scatter_reduce(0, user, basket - first[user] + 1, "amax")
        values = self._weights(user, basket - first[user], lengths)
        vectors = scipy.sparse.coo_array((values, (user, item)), shape=(len(users), self.n_items)).tocsr()
        self.vectors, self.by_item = (
            _csr_tensor(vectors).to(self.device),
            _csr_tensor(vectors.T.tocsr()).to(self.device),
        )
        self.squares = torch.from_numpy(vectors.multiply(vectors).sum(axis=1)).to(self.device)
        self.users = users.to(self.device)

    def learned(self) -> list[scipy.sparse.csr_array]:
        """Return the fitted values: a list with one sparse matrix [n_users, n_items], whose rows are users' vectors.

        Rows of users without baskets are zero.
        """
        user = self.users.repeat_interleave(self.vectors.crow_indices().diff())
        values, *place = (x.cpu().numpy() for x in (self.vectors.values(), user, self.vectors.col_indices()))
        return [scipy.sparse.csr_array((values, place), shape=(self.n_users, self.n_items))]

    def _weights(self, user: torch.Tensor, slot: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the weight of each entry (item in a basket) in its user's vector, float [entries].

        Args:
            user: int64 [entries], index of the user in ``lengths``.
            slot: int64 [entries], number of the entry's basket among the user's baskets, from 0.
            lengths: int64 [users], number of baskets of each user.
        """
        group, place = slot // self.group_size, slot % self.group_size
        n_groups = -(-lengths // self.group_size)[user]
        size = (lengths[user] - group * self.group_size).clamp_max(self.group_size)
        within = self.within_decay ** (size - 1 - place).float() / size
        return within * self.group_decay ** (n_groups - 1 - group).float() / n_groups

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return a scalar zero; there is nothing to learn."""
        return self.fake_loss.sum() * 0

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        history = Incidence.of(interaction[self.HISTORY_ITEMS])
        weights = self._weights(history.user, history.slot, interaction[self.HISTORY_LENGTH])
        own = self.squares.new_zeros(history.n_users, self.n_items)
        own.index_put_((history.user, history.item), weights, accumulate=True)
        return self.alpha * own + (1 - self.alpha) * self._neighborhood(own, interaction[self.USER_ID])

    def _neighborhood(self, own: torch.Tensor, user: torch.Tensor) -> torch.Tensor:
        """Return the mean vector of each user's nearest other users, float [batch, n_items].

        Args:
            own: float [batch, n_items], the users' own vectors.
            user: int64 [batch], the user ids.
        """
        nearness = 2 * (self.vectors @ own.T).T - self.squares  # |own|^2 - squared distance
        nearness.masked_fill_(user.unsqueeze(1) == self.users, -torch.inf)
        k = min(self.n_neighbors, len(self.users) - 1)
        nearest = nearness.topk(k, dim=1).indices
        share = torch.zeros_like(nearness).scatter_(1, nearest, 1 / max(k, 1))
        return (self.by_item @ share.T).T


def _csr_tensor(matrix: scipy.sparse.csr_array) -> torch.Tensor:
    """Convert a SciPy CSR matrix to a sparse CSR tensor, whose products are several times faster than with COO."""
    pointers, columns, values = (torch.from_numpy(part) for part in (matrix.indptr, matrix.indices, matrix.data))
    with warnings.catch_warnings():  # once per process PyTorch warns that CSR tensors are in beta
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        return torch.sparse_csr_tensor(pointers, columns, values, matrix.shape, check_invariants=False)
