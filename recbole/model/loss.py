"""Loss functions under RecBole's names."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn


class BPRLoss(nn.Module):
    """Bayesian personalised ranking: the mean of ``-log(gamma + sigmoid(pos - neg))``.

    S. Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009 (equation numbers not
    checked).

    Args:
        gamma: small number that avoids ``log 0``, as in RecBole.
    """

    def __init__(self, gamma: float = 1e-10) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, pos_score: torch.Tensor, neg_score: torch.Tensor) -> torch.Tensor:
        """Return the loss averaged over all elements, a scalar. Both score tensors have the same shape."""
        return -torch.log(self.gamma + torch.sigmoid(pos_score - neg_score)).mean()


class RegLoss(nn.Module):
    """Regulariser: the sum of the parameters' Euclidean norms, which are not squared."""

    def forward(self, parameters: Iterable[torch.Tensor]) -> torch.Tensor:
        """Return the sum of the norms of the tensors, a scalar."""
        return sum(parameter.norm(2) for parameter in parameters)


class EmbLoss(nn.Module):
    """RecBole's regulariser: the norms of the batch's embedding matrices, summed and divided by the batch size.

    By default the norms are not squared. With ``require_pow`` they are raised to the power ``norm`` and divided by
    ``norm``. For ``norm`` 2 these are half the squared norms, as in the LightGCN paper.

    Args:
        norm: the order of the norm (2: the square root of the sum of squares of all elements).
    """

    def __init__(self, norm: float = 2) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, *embeddings: torch.Tensor, require_pow: bool = False) -> torch.Tensor:
        """Return the regulariser, a scalar, for embedding matrices [batch, d]; for ``require_pow`` see the class."""
        size = embeddings[-1].shape[0]
        if require_pow:
            return sum(torch.norm(e, p=self.norm) ** self.norm for e in embeddings) / size / self.norm
        return sum(torch.norm(e, p=self.norm) for e in embeddings) / size


class EmbMarginLoss(nn.Module):
    """Regulariser: how far squared embedding norms exceed 1, summed over embeddings and divided by the batch size.

    Args:
        power: the elements are raised to this power before they are summed; 2 gives the squared norm.
    """

    def __init__(self, power: float = 2) -> None:
        super().__init__()
        self.power = power

    def forward(self, *embeddings: torch.Tensor) -> torch.Tensor:
        """Return the regulariser, a scalar, for embedding matrices [batch, d]."""
        excess = sum(((e**self.power).sum(dim=1) - 1.0).clamp_min(0).sum() for e in embeddings)
        return cast("torch.Tensor", excess) / embeddings[-1].shape[0]
