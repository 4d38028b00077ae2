"""Symmetric linear maps for the solvers."""

import torch


def diagonal(*values):
    """Return the map that multiplies by these numbers."""
    return lambda v: torch.tensor(values).to(v) * v


def matrix(values):
    """Return a symmetric matrix with these eigenvalues, and a right-hand side."""
    generator = torch.Generator().manual_seed(4)
    size = len(values)
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    a = q @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ q.T
    return a, torch.randn(size, generator=generator, dtype=torch.float64)
