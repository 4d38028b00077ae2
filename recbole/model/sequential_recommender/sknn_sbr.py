"""Nearest neighbours of sessions."""

import numpy as np
import scipy.sparse
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.data.ids import distinct
from recbole.data.split import VALID
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType, UserError

_SIMILARITIES = {
    "jaccard": lambda both, one, other: both / (one + other - both),
    "tanimoto": lambda both, one, other: both / (one + other - both),
    "cosine": lambda both, one, other: both / np.sqrt(one * other),
    "binary": lambda both, one, other: 2 * both / (one + other),
}
"""Name to a function of the sizes of two sets' intersection and of the sets."""


class SKNN_SBR(SequentialRecommender):
    """Scores an item by the similarities of the neighbouring sessions that have it, over the largest such sum.

    Neighbours of a session are the ``k`` most similar, as sets of items, of the ``sample_size`` most recent other
    sessions that share an item with it; the more recent of equally similar ones. A session's set are its retained
    items up to its last training target.

    D. Jannach, M. Ludewig, "When Recurrent Neural Networks meet the Neighborhood for Session-Based Recommendation",
    RecSys 2017 (equation numbers not checked). ERASE leaves each session's last training target out of its set.
    """

    input_type = InputType.POINTWISE
    trims = True
    trainable = False

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.k, self.sample_size = config["k"], config["sample_size"]
        if config["similarity"] not in _SIMILARITIES:
            raise UserError(f"similarity: '{config['similarity']}' is not one of {', '.join(_SIMILARITIES)}")
        self.similarity = _SIMILARITIES[config["similarity"]]
        self.fake_loss = nn.Parameter(torch.zeros(1))
        self.rebuild(dataset)

    def rebuild(self, dataset: Dataset) -> None:
        """Collect the sessions' item sets; sessions are numbered from the oldest to the most recent last item."""
        log = dataset.log
        users = distinct(log.user[dataset.train_examples()])
        rows = log.rows_of(users)
        rows = rows[(log.split[rows] < VALID) & ~dataset.forgotten[rows]]
        ends = np.flatnonzero(np.diff(log.user[rows], append=-1))
        order = np.argsort(log.columns[dataset.time_field][rows[ends]], kind="stable")
        self.number = np.full(dataset.n_users, -1)
        self.number[users[order]] = np.arange(len(users))
        self.sessions = _item_sets(self.number[log.user[rows]], log.item[rows], (len(users), self.n_items))
        self.sizes = np.diff(self.sessions.indptr)

    def learned(self) -> list[scipy.sparse.csr_array]:
        """Return the sessions' item sets, sparse [n_users, n_items]."""
        place = np.flatnonzero(self.number >= 0)
        sets = self.sessions[self.number[place]].tocoo()
        return [
            scipy.sparse.csr_array((sets.data, (place[sets.row], sets.col)), shape=(len(self.number), self.n_items))
        ]

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return zero: nothing is trained."""
        return self.fake_loss.sum() * 0

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch] of (sequence, item) pairs."""
        return self.full_sort_predict(interaction).gather(1, interaction[self.ITEM_ID].unsqueeze(1)).squeeze(1)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch, n_items], at most 1."""
        item_seq = interaction[self.ITEM_SEQ].cpu().numpy()
        row, position = np.nonzero(item_seq)
        asking = _item_sets(row, item_seq[row, position], (len(item_seq), self.n_items))
        neighbours = self._neighbours(asking, self.number[interaction[self.USER_ID].cpu().numpy()])
        scores = (neighbours @ self.sessions).toarray()
        scores /= np.maximum(scores.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        return torch.from_numpy(scores).float().to(self.fake_loss.device)

    def _neighbours(self, asking: scipy.sparse.csr_array, own: np.ndarray) -> scipy.sparse.csr_array:
        """Return the similarities [batch, sessions] of each row's neighbours, sparse.

        Args:
            asking: the rows' item sets, [batch, n_items].
            own: int [batch], the number of each row's own session, or -1.
        """
        shared = (asking @ self.sessions.T).tocoo()
        row, session, both = shared.row, shared.col, shared.data
        other = session != own[row]
        row, session, both = _first(row[other], (-session[other],), self.sample_size, session[other], both[other])
        similar = self.similarity(both, np.diff(asking.indptr)[row], self.sizes[session])
        row, session, similar = _first(row, (-session, -similar), self.k, session, similar)
        return scipy.sparse.csr_array((similar, (row, session)), shape=shared.shape)


def _item_sets(rows: np.ndarray, items: np.ndarray, shape: tuple[int, int]) -> scipy.sparse.csr_array:
    """Return the sets as a sparse matrix of ones, each item once a row."""
    sets = scipy.sparse.csr_array((np.ones(len(rows)), (rows, items)), shape=shape)
    sets.sum_duplicates()
    sets.data[:] = 1.0
    return sets


def _first(row: np.ndarray, keys: tuple[np.ndarray, ...], n: int, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Keep the ``n`` entries of each row that come first by ``keys`` (the last key first, as in ``np.lexsort``)."""
    order = np.lexsort((*keys, row))
    row = row[order]
    kept = np.arange(len(row)) - np.searchsorted(row, row) < n
    return row[kept], *(value[order[kept]] for value in values)
