"""Losses under RecBole's names."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn


class BPRLoss(nn.Module):
    """Bayesian personalised ranking: the mean of ``-log(gamma + sigmoid(pos - neg))``.

    S. Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009 (equation numbers not
    checked). ``gamma`` is RecBole's guard against ``log 0``.
    """

    def __init__(self, gamma: float = 1e-10) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, pos_score: torch.Tensor, neg_score: torch.Tensor) -> torch.Tensor:
        """Return the scalar mean over two score tensors of one shape."""
        return -torch.log(self.gamma + torch.sigmoid(pos_score - neg_score)).mean()


class RegLoss(nn.Module):
    """The sum of the parameters' Euclidean norms."""

    def forward(self, parameters: Iterable[torch.Tensor]) -> torch.Tensor:
        """Return the scalar sum over an iterable of tensors."""
        return sum(parameter.norm(2) for parameter in parameters)


class EmbLoss(nn.Module):
    """The norms of whole embedding batches, divided by the batch size, as RecBole regularises.

    Without ``require_pow`` the norms are not squared (RecBole's default; the LightGCN paper squares and halves them).
    """

    def __init__(self, norm: float = 2) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, *embeddings: torch.Tensor, require_pow: bool = False) -> torch.Tensor:
        """Return the scalar for tensors [batch, d]."""
        size = embeddings[-1].shape[0]
        if require_pow:
            return sum(torch.norm(e, p=self.norm) ** self.norm for e in embeddings) / size / self.norm
        return sum(torch.norm(e, p=self.norm) for e in embeddings) / size


class EmbMarginLoss(nn.Module):
    """The part of the squared embedding norms above 1, over the batch size."""

    def __init__(self, power: float = 2) -> None:
        super().__init__()
        self.power = power

    def forward(self, *embeddings: torch.Tensor) -> torch.Tensor:
        """Return the scalar for tensors [batch, d]."""
        excess = sum(((e**self.power).sum(dim=1) - 1.0).clamp_min(0).sum() for e in embeddings)
        return cast("torch.Tensor", excess) / embeddings[-1].shape[0]
