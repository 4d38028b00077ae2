"""Contrastive losses against many candidates, in bounded memory."""

import torch
from torch.utils.checkpoint import checkpoint

PRODUCTS_AT_ONCE = 2**24
"""How many inner products are held at a time: 64 MiB of float32."""


def log_partition(anchors: torch.Tensor, candidates: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return ``log sum_j exp(a . c_j / temperature)`` for each anchor, [n].

    With more products than ``PRODUCTS_AT_ONCE`` they are made piece by piece, and again in the backward pass;
    differentiable twice either way.

    Args:
        anchors: [n, d].
        candidates: [m, d].
        temperature: positive number.
    """

    def piece(rows: torch.Tensor) -> torch.Tensor:
        return torch.logsumexp(rows @ candidates.T / temperature, dim=1)

    step = max(PRODUCTS_AT_ONCE // len(candidates), 1)
    if len(anchors) <= step:
        return piece(anchors)
    pieces = [checkpoint(piece, rows, use_reentrant=False, preserve_rng_state=False) for rows in anchors.split(step)]
    return torch.cat(pieces)


def info_nce(
    anchors: torch.Tensor, candidates: torch.Tensor, positives: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return how badly each anchor tells its own candidate from the others, [n].

    A. van den Oord et al., "Representation Learning with Contrastive Predictive Coding", arXiv:1807.03748 (2018;
    equation numbers not checked).

    Args:
        anchors: [n, d], of length one to compare by cosine.
        candidates: [m, d], likewise.
        positives: int64 [n], the anchors' own candidates.
        temperature: positive number.
    """
    agreement = (anchors * candidates[positives]).sum(dim=1) / temperature
    return log_partition(anchors, candidates, temperature) - agreement
