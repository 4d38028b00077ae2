"""EASE: a linear auto-encoder in closed form."""

from typing import cast

import numpy as np
import scipy.sparse
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset
from recbole.model.fitted import FittedRecommender


class EASE(FittedRecommender[torch.Tensor]):
    """The linear auto-encoder ``X ~ X B`` that minimises the ridge loss with a zero diagonal of ``B``, in closed form.

    H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019 (equation numbers not checked): with ``P =
    (X^T X + reg_weight I)^-1``, ``B_ij = -P_ij / P_jj`` off the diagonal. ``X`` is the user-item matrix; a pair that
    occurs several times counts several times, as in RecBole. Computations are in float64. ``P`` takes 8 ``n_items``^2
    bytes in memory, in each checkpoint of an unlearned model and in the snapshot from which an interrupted unlearning
    run resumes.

    Forgetting interactions gives exactly the retrained model, up to rounding. It takes time O(``n_items``^2) per
    affected user instead of O(``n_items``^3) for a new fit; see :meth:`downdate`.
    """

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.reg_weight = config["reg_weight"]
        self.learned_shape = (self.n_items, self.n_items)
        self.dummy_param = nn.Parameter(torch.zeros(1))

    def fit(self, matrix: scipy.sparse.csr_matrix) -> None:
        """Compute ``P``, the inverse of the regularised Gram matrix ``X^T X + reg_weight I``, for ``X = matrix``."""
        gram = torch.from_numpy((matrix.T @ matrix).toarray()).to(self.device)
        gram.diagonal().add_(self.reg_weight)
        self.inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))

    def update(self, old: scipy.sparse.csr_matrix, new: scipy.sparse.csr_matrix) -> None:
        """Update ``P`` for the users whose interactions differ; fit again if they are more than ``n_items / 8``.

        Args:
            old, new: the matrix ``X`` before and after the change, [n_users, n_items].
        """
        users = np.flatnonzero(np.diff(cast("scipy.sparse.csr_matrix", old != new).indptr))
        if len(users) > self.n_items // 8:
            self.fit(new)
        elif len(users):
            self.downdate(old[users].toarray(), new[users].toarray())

    def downdate(self, old: np.ndarray, new: np.ndarray) -> None:
        """Update ``P`` exactly for changed rows (users) of ``X``, by the Woodbury identity.

        ``x x^T - y y^T = a r^T + r a^T`` with ``r = x - y`` and ``a = x - r / 2``, where ``x`` is a user's old row and
        ``y`` the new one. So ``U J U^T`` is subtracted from the Gram matrix, where ``U = [a, r]`` has the vectors of
        all n users as columns and ``J`` is the permutation that swaps the two halves of the columns.

        Args:
            old, new: the users' rows before and after the change, float64 arrays [n, n_items].
        """
        before, after = (torch.from_numpy(rows).to(self.device) for rows in (old, new))
        u = torch.cat([(before + after) / 2, before - after]).T
        swap = torch.eye(u.shape[1], dtype=u.dtype, device=u.device).roll(len(old), dims=0)
        image = self.inverse @ u
        self.inverse = torch.addmm(self.inverse, image, torch.linalg.solve(swap - u.T @ image, image.T))

    def learned(self) -> list[torch.Tensor]:
        """Return a list with ``P``, the inverse of the regularised Gram matrix, float64 [n_items, n_items]."""
        self.learn()
        return [self.inverse]

    def know(self, learned: torch.Tensor) -> None:
        """Use ``learned``, float64 [n_items, n_items], as ``P``."""
        self.inverse = learned.to(self.device)

    def scores(self, matrix: scipy.sparse.csr_matrix, users: np.ndarray) -> torch.Tensor:
        """Return the users' rows of ``X B``, float64 [len(users), n_items], for user ids (int64) and ``X = matrix``.

        Element j is ``x_j - (x P)_j / P_jj`` for a user's row ``x`` of ``X``. The term ``x_j`` makes up for the
        diagonal of ``-P_ij / P_jj``, which is -1, while that of ``B`` is 0.
        """
        rows = torch.from_numpy(matrix[users].toarray()).to(self.device)
        return rows - rows @ self.inverse / self.inverse.diagonal()
