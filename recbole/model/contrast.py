"""Contrastive losses with many candidates, computed with bounded memory."""

import torch
from torch.utils.checkpoint import checkpoint

PRODUCTS_AT_ONCE = 2**24
"""Largest number of inner products held in memory at a time (64 MiB of float32)."""


def log_partition(anchors: torch.Tensor, candidates: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return ``log sum_j exp(a . c_j / temperature)`` for each anchor ``a`` over all candidates ``c_j``, float [n].

    The result can be differentiated twice. If there are more than ``PRODUCTS_AT_ONCE`` inner products, they are
    computed for a part of the anchors at a time, and computed again in the backward pass.

    Args:
        anchors: float [n, d].
        candidates: float [m, d].
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
    """Return the InfoNCE loss of each anchor, float [n]: minus the log-softmax at its positive candidate.

    The softmax is over all candidates, of their inner products with the anchor, divided by the temperature. A. van den
    Oord et al., "Representation Learning with Contrastive Predictive Coding", arXiv:1807.03748 (2018; equation numbers
    not checked).

    Args:
        anchors: float [n, d]; rows must have norm 1 if the inner products are to be cosines.
        candidates: float [m, d]; the same applies to their norms.
        positives: int64 [n], the row in ``candidates`` of each anchor's positive candidate.
        temperature: positive number.
    """
    agreement = (anchors * candidates[positives]).sum(dim=1) / temperature
    return log_partition(anchors, candidates, temperature) - agreement
