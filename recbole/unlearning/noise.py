"""Gaussian noise for parameters, the same on every device, and zero in the padding rows of embedding tables."""

import torch
from torch import nn

from recbole.unlearning.second_order.subspace import Subspace


def padding_rows(model: nn.Module) -> dict[str, int]:
    """Return the index of the padding row, which always stays zero, of each embedding table: parameter name to index.

    Tables without padding are left out.
    """
    return {
        f"{name}.weight".lstrip("."): module.padding_idx
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and module.padding_idx is not None
    }


def normal(subspace: Subspace, seed: int) -> torch.Tensor:
    """Return standard normal noise for the parameters of a subspace, as a flat vector; zero in padding rows.

    Args:
        subspace: the parameters (or table rows) that get noise, in the order of the vector.
        seed: seed of the random generator; the same seed gives the same noise on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    padding, parts = padding_rows(subspace.model), []
    for name, value in zip(subspace.names, subspace.values(), strict=True):
        part = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        if name in padding:
            rows = subspace.rows[name].cpu() if name in subspace.rows else torch.arange(len(part))
            part[rows == padding[name]] = 0.0
        parts.append(part.reshape(-1).to(value.device))
    return torch.cat(parts)
