"""Dropout whose mask depends on the example, not on the example's position in the batch."""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional

from recbole.utils import keyed

_WIDEST = 2**12
"""Larger than any inner dimension (all but the first and last) of a tensor to which dropout is applied."""


class KeyedDropout(nn.Module):
    """Dropout whose mask is a hash of seed, layer, epoch, example, position in the example, and unit.

    The mask of an example therefore stays the same if other examples are forgotten. Outside of the context manager
    :func:`keyed_by` the layer is PyTorch's ordinary dropout. N. Srivastava et al., "Dropout: A Simple Way to Prevent
    Neural Networks from Overfitting", JMLR 2014. Each 64-bit hash is used for four units, so the probability is rounded
    to a multiple of 2^-16.

    Args:
        p: probability with which a unit is zeroed; the others are scaled by ``1 / (1 - p)``.

    Attributes:
        key: hash of seed, layer and epoch; None outside of :func:`keyed_by`.
        numbers: int64 [batch], an index of each example that does not change when other examples are forgotten; None
            outside of :func:`keyed_by`.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = float(p)
        self.key: int | None = None
        self.numbers: torch.Tensor | None = None

    def forward(
        self, x: torch.Tensor, row: torch.Tensor | None = None, position: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return ``x`` with some units zeroed and the others scaled; in evaluation mode ``x`` unchanged.

        Args:
            x: float [batch, ..., units], with an entry for each example; or [n, ..., units], with an entry for each of
                n selected positions in the examples.
            row: int64 [n], the index in the batch of the example to which each position belongs; None if ``x`` has an
                entry for each example.
            position: int64 [n], the position within the example; None if ``x`` has an entry for each example.
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
        """Return which units are kept, bool of the given shape.

        Args:
            states: int64 [shape[0]], a hash of all that the mask of each entry depends on, except the place in the
                entry.
            shape: shape of the tensor to which dropout is applied.
        """
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
    """Return a context manager in which the dropout masks of a batch depend on its examples.

    Args:
        layers: ``(key, layer)`` pairs, from :func:`keyed_layers`.
        numbers: int64 [batch], an index of each example that does not change when other examples are forgotten; None
            uses PyTorch's dropout.
    """
    for key, layer in layers:
        layer.key, layer.numbers = key, numbers
    try:
        yield
    finally:
        for _, layer in layers:
            layer.key = layer.numbers = None


def keyed_layers(model: nn.Module, seed: int, epoch: int) -> list[tuple[int, KeyedDropout]]:
    """Return ``(key, layer)`` for each :class:`KeyedDropout` layer of a model, for use with :func:`keyed_by`.

    The key is a hash of the seed, the layer's name and the epoch.
    """
    named = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, KeyedDropout)]
    return [(keyed.key(seed, "dropout", name, epoch), layer) for name, layer in named]
