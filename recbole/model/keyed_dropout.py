"""Dropout whose masks belong to examples, not to places in a batch."""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional

from recbole.utils import keyed

_WIDEST = 2**12
"""More than a tensor's inner dimensions ever have, but for the last."""


class KeyedDropout(nn.Module):
    """Dropout, keyed in training by (seed, layer, epoch), the example's number, the position in it and the unit.

    Without an example, every other example keeps its mask. N. Srivastava et al., "Dropout: A Simple Way to Prevent
    Neural Networks from Overfitting", JMLR 2014. Of each hash four units take 16 bits, so that the probability is a
    multiple of 2^-16; outside of a trainer's :func:`keyed_by` it is ``torch``'s dropout.

    Args:
        p: the probability of a unit to be zeroed; the others are scaled by ``1 / (1 - p)``.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = float(p)
        self.key: int | None = None
        self.numbers: torch.Tensor | None = None

    def forward(
        self, x: torch.Tensor, row: torch.Tensor | None = None, position: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return ``x`` with units zeroed and the others scaled, in training.

        Args:
            x: float [batch, ..., units], or [n, ..., units] of chosen places.
            row: int64 [n], the batch's row that each place is of; the first dimension by default.
            position: int64 [n], the place's number in its row.
        """
        if not self.training or not self.p:
            return x
        if self.key is None or self.numbers is None:
            return functional.dropout(x, self.p, True)
        states = keyed.bits(self.key, self.numbers)
        if row is not None:
            states = states.index_select(0, row)
        if position is not None:
            states = keyed.bits(states, position)
        return x * self._kept(states, x.shape).to(x.dtype).mul_(1 / (1 - self.p))

    def _kept(self, states: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """Return which units stay, bool of a shape; its first dimension is that of the states."""
        *inner, units = shape[1:]
        quarters = (units + 3) // 4
        place = torch.arange(quarters, device=states.device)
        stride = _WIDEST
        for size in reversed(inner):
            steps = torch.arange(size, device=states.device) * stride
            place = steps.view(-1, *(1,) * place.dim()) + place
            stride *= _WIDEST
        found = keyed.bits(states.view(-1, *(1,) * place.dim()), place)
        found = found.view(torch.int16)[..., :units]
        return found >= round(self.p * 2**16) - 2**15


@contextlib.contextmanager
def keyed_by(layers: Sequence[tuple[int, KeyedDropout]], numbers: torch.Tensor | None) -> Iterator[None]:
    """Let layers draw for the examples of a batch, whose numbers (int64 [batch]) these are, each by its key."""
    for key, layer in layers:
        layer.key, layer.numbers = key, numbers
    try:
        yield
    finally:
        for _, layer in layers:
            layer.key = layer.numbers = None


def keyed_layers(model: nn.Module, seed: int, epoch: int) -> list[tuple[int, KeyedDropout]]:
    """Return a model's keyed dropouts, each with its key of an epoch."""
    named = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, KeyedDropout)]
    return [(keyed.key(seed, "dropout", name, epoch), layer) for name, layer in named]
