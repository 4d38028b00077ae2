"""Random numbers by what they are for: a draw is a function of its key, and of no other draw.

A generator hands out numbers in turn, so that whoever leaves a row out moves the numbers of all rows after it. Here a
draw is a hash of a key (a run's seed, the name of what is drawn, an epoch) and of counters (a row, a copy, an attempt):
without a row, every other row keeps its numbers.

The hash is SplitMix64: G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014 (its
output function is that of D. Stafford's "Mix13"). A counter takes the place of the state's step; of several counters
each but the last makes the state of the next. Everything is done in the wrap-around arithmetic of int64 tensors, which
have the same bits on every device.
"""

from typing import SupportsInt

import torch

from recbole.utils.seeds import torch_seed

Counter = int | torch.Tensor
"""A number or an int64 tensor; several counters broadcast against each other."""

_STEP = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
_ALL = 2**64 - 1


def _signed(number: int) -> int:
    """Return what the lowest 64 bits of a number are in int64."""
    return (number + 2**63 & _ALL) - 2**63


def key(seed: SupportsInt, *name: str | SupportsInt) -> int:
    """Return a 63-bit key for ``(seed, *name)``; parts of the name are strings or numbers from 0."""
    return torch_seed(seed, "keyed", *name)


def bits(state: Counter, *counters: Counter) -> torch.Tensor:
    """Return 64 random bits for each place of the counters.

    Args:
        state: a :func:`key`, or :func:`bits` of the first counters.
        counters: at least one.

    Returns:
        int64, of the counters' common shape, on their device.
    """
    for counter in counters:
        state = _of_number(state, counter) if isinstance(counter, int) else _of_tensor(state, counter)
    return torch.as_tensor(state)


def _of_number(state: Counter, counter: int) -> Counter:
    """Return the next state for a counter that is one number, without a tensor where the state is a number too."""
    if isinstance(state, torch.Tensor):
        return _of_tensor(state, torch.tensor(counter, device=state.device))
    z = (counter * _STEP + state) & _ALL
    for shift, factor in _ROUNDS:
        z = (z ^ (z >> shift)) * factor & _ALL
    return _signed(z)


def _of_tensor(state: Counter, counter: torch.Tensor) -> torch.Tensor:
    """Return the next state for each place of a tensor of counters."""
    z = counter * _signed(_STEP) + state
    for shift, factor in _ROUNDS:
        z ^= (z >> shift) & (2 ** (64 - shift) - 1)  # the shift copies the sign, which is masked out
        if factor != 1:
            z *= _signed(factor)
    return z


def _top(state: Counter, counters: tuple[Counter, ...], n: int) -> torch.Tensor:
    """Return the first ``n`` of 64 random bits as a whole number, float64."""
    return ((bits(state, *counters) >> (64 - n)) & (2**n - 1)).to(torch.float64)


def uniform(state: Counter, *counters: Counter) -> torch.Tensor:
    """Return numbers evenly from [0, 1), float64 with 53 random bits; see :func:`bits`."""
    return _top(state, counters, 53) * 2.0**-53


def integers(high: int, state: Counter, *counters: Counter) -> torch.Tensor:
    """Return whole numbers evenly from 0 to ``high - 1``, int64; see :func:`bits`.

    Each has the same chance but for a share of ``high / 2^53``.
    """
    return (uniform(state, *counters) * high).to(torch.int64)


def normal(state: Counter, *counters: Counter) -> torch.Tensor:
    """Return standard normal numbers, float64, by the inverse of their distribution function; see :func:`bits`.

    It is taken in the middle of 2^52 equal steps from 0 to 1, and so always finite: within 8.3 of zero.
    """
    return torch.special.ndtri((_top(state, counters, 52) + 0.5) * 2.0**-52)
