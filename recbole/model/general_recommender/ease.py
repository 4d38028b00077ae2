"""EASE."""

from typing import cast

import numpy as np
import scipy.sparse
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset
from recbole.model.fitted import FittedRecommender


class EASE(FittedRecommender[torch.Tensor]):
    """The linear auto-encoder ``X ~ X B`` with zero diagonal that minimises the ridge loss, in closed form.

    H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019 (equation numbers not checked): with
    ``P = (X^T X + reg_weight I)^-1``, ``B_ij = -P_ij / P_jj`` off the diagonal. In float64; ``P`` takes
    8 ``n_items``^2 bytes, in memory, in each checkpoint of unlearning and in its snapshot. Repeated pairs count
    repeatedly, as in RecBole.

    Forgetting the interactions of a few users is exact and costs ``n_items``^2 for each of them instead of
    ``n_items``^3; see :meth:`downdate`.
    """

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.reg_weight = config["reg_weight"]
        self.learned_shape = (self.n_items, self.n_items)
        self.dummy_param = nn.Parameter(torch.zeros(1))

    def fit(self, matrix: scipy.sparse.csr_matrix) -> None:
        """Invert the regularised Gram matrix."""
        gram = torch.from_numpy((matrix.T @ matrix).toarray()).to(self.device)
        gram.diagonal().add_(self.reg_weight)
        self.inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))

    def update(self, old: scipy.sparse.csr_matrix, new: scipy.sparse.csr_matrix) -> None:
        """Correct the inverse for the users whose interactions differ, or fit anew if they are many."""
        users = np.flatnonzero(np.diff(cast("scipy.sparse.csr_matrix", old != new).indptr))
        if len(users) > self.n_items // 8:
            self.fit(new)
        elif len(users):
            self.downdate(old[users].toarray(), new[users].toarray())

    def downdate(self, old: np.ndarray, new: np.ndarray) -> None:
        """Replace users' rows of ``X`` in the inverse, exactly, by the identity of Woodbury.

        ``x x^T - y y^T = a r^T + r a^T`` with ``r = x - y`` and ``a = x - r / 2``, so the Gram matrix loses
        ``U J U^T`` with ``U = [a, r]`` and ``J`` the swap of the two halves.

        Args:
            old, new: the users' rows before and after, float64 arrays [n, n_items].
        """
        before, after = (torch.from_numpy(rows).to(self.device) for rows in (old, new))
        u = torch.cat([(before + after) / 2, before - after]).T
        swap = torch.eye(u.shape[1], dtype=u.dtype, device=u.device).roll(len(old), dims=0)
        image = self.inverse @ u
        self.inverse = torch.addmm(self.inverse, image, torch.linalg.solve(swap - u.T @ image, image.T))

    def learned(self) -> list[torch.Tensor]:
        """Return ``P``."""
        self.learn()
        return [self.inverse]

    def know(self, learned: torch.Tensor) -> None:
        """Take ``P``."""
        self.inverse = learned.to(self.device)

    def scores(self, matrix: scipy.sparse.csr_matrix, users: np.ndarray) -> torch.Tensor:
        """Return ``X B``, which is ``x_j - (x P)_j / P_jj``: the diagonal of ``-P_ij / P_jj`` alone would be -1."""
        rows = torch.from_numpy(matrix[users].toarray()).to(self.device)
        return rows - rows @ self.inverse / self.inverse.diagonal()
