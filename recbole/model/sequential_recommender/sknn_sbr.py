"""SKNN_SBR: nearest neighbours among sessions."""

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
"""Name to similarity function, with arguments: size of the intersection, and sizes of the two sets."""


class SKNN_SBR(SequentialRecommender):
    """Scores an item by the summed similarity of the neighbour sessions that contain it, divided by the largest score.

    The candidates for neighbours are the ``sample_size`` most recent other sessions that share an item with the
    session. The neighbours are the ``k`` candidates whose item sets are most similar to the session's; among equally
    similar ones the more recent are chosen. The item set of a candidate is its retained items up to and including its
    last training target.

    D. Jannach, M. Ludewig, "When Recurrent Neural Networks meet the Neighborhood for Session-Based Recommendation",
    RecSys 2017 (equation numbers not checked). ERASE, the benchmark that this package re-implements, omits each
    session's last training target from its set.
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
        """Collect the item sets of all sessions with a retained training example.

        The sessions are numbered from 0 by the time of the last interaction in their set, oldest first.
        """
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
        """Return a list with the sessions' item sets: a sparse matrix of ones at their items, [n_users, n_items]."""
        place = np.flatnonzero(self.number >= 0)
        sets = self.sessions[self.number[place]].tocoo()
        return [
            scipy.sparse.csr_array((sets.data, (place[sets.row], sets.col)), shape=(len(self.number), self.n_items))
        ]

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return a scalar zero; nothing is trained."""
        return self.fake_loss.sum() * 0

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of the (sequence, item) pairs, float [batch]."""
        return self.full_sort_predict(interaction).gather(1, interaction[self.ITEM_ID].unsqueeze(1)).squeeze(1)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]; a row's largest is 1, or 0 without neighbours."""
        item_seq = interaction[self.ITEM_SEQ].cpu().numpy()
        row, position = np.nonzero(item_seq)
        sets = _item_sets(row, item_seq[row, position], (len(item_seq), self.n_items))
        neighbours = self._neighbours(sets, self.number[interaction[self.USER_ID].cpu().numpy()])
        scores = (neighbours @ self.sessions).toarray()
        scores /= np.maximum(scores.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        return torch.from_numpy(scores).float().to(self.fake_loss.device)

    def _neighbours(self, sets: scipy.sparse.csr_array, own: np.ndarray) -> scipy.sparse.csr_array:
        """Return the similarity of each row of a batch to its neighbour sessions, sparse [batch, sessions].

        Args:
            sets: the item sets of the batch's sequences, sparse [batch, n_items].
            own: int [batch], number of each row's own session, which is not its neighbour; -1 if it has no item set.
        """
        shared = (sets @ self.sessions.T).tocoo()
        row, session, both = shared.row, shared.col, shared.data
        other = session != own[row]
        row, session, both = _first(row[other], (-session[other],), self.sample_size, session[other], both[other])
        similar = self.similarity(both, np.diff(sets.indptr)[row], self.sizes[session])
        row, session, similar = _first(row, (-session, -similar), self.k, session, similar)
        return scipy.sparse.csr_array((similar, (row, session)), shape=shared.shape)


def _item_sets(rows: np.ndarray, items: np.ndarray, shape: tuple[int, int]) -> scipy.sparse.csr_array:
    """Return a sparse matrix of the given shape with ones at (rows, items), also where a pair is repeated."""
    sets = scipy.sparse.csr_array((np.ones(len(rows)), (rows, items)), shape=shape)
    sets.sum_duplicates()
    sets.data[:] = 1.0
    return sets


def _first(row: np.ndarray, keys: tuple[np.ndarray, ...], n: int, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sort the entries of each row by ``keys``, and return ``(row, *values)`` of the first ``n`` entries of each row.

    Args:
        row: int [entries], the row of each entry.
        keys: arrays [entries]; the last one is the primary key, as in ``np.lexsort``.
        n: number of entries to keep per row.
        values: further properties of the entries, arrays [entries].
    """
    order = np.lexsort((*keys, row))
    row = row[order]
    kept = np.arange(len(row)) - np.searchsorted(row, row) < n
    return row[kept], *(value[order[kept]] for value in values)
