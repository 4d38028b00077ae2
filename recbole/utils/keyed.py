"""Counter-based random numbers: each draw depends only on its key, never on other draws.

An ordinary generator returns numbers in sequence, so leaving out a row would change the numbers of all later rows. Here
a draw is a hash of a key (seed, name, epoch) and of counters (row, copy, attempt), so every other row keeps its
numbers.

The hash is SplitMix64: G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014 (with
the output function of D. Stafford's "Mix13"). A counter replaces the state's step. With several counters, the output
for one is the state for the next. Everything uses the wrap-around arithmetic of int64 tensors, which is bit-identical
on every device.
"""

from typing import SupportsInt

import torch

from recbole.utils.seeds import torch_seed

Counter = int | torch.Tensor
"""An integer or an int64 tensor. Several counters broadcast against each other."""

_STEP = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
_ALL = 2**64 - 1


def _signed(number: int) -> int:
    """Return the lowest 64 bits of an integer, read as int64."""
    return (number + 2**63 & _ALL) - 2**63


def key(seed: SupportsInt, *name: str | SupportsInt) -> int:
    """Return a 63-bit key for ``(seed, *name)``. Parts of the name are strings or integers from 0."""
    return torch_seed(seed, "keyed", *name)


def bits(state: Counter, *counters: Counter) -> torch.Tensor:
    """Return 64 random bits for each combination of counters.

    Args:
        state: a :func:`key`, or the :func:`bits` for preceding counters.
        counters: at least one.

    Returns:
        int64, with the counters' broadcast shape, on their device.
    """
    for counter in counters:
        state = _of_number(state, counter) if isinstance(counter, int) else _of_tensor(state, counter)
    return torch.as_tensor(state)


def _of_number(state: Counter, counter: int) -> Counter:
    """Return the next state for an integer counter; an integer if the state is one too."""
    if isinstance(state, torch.Tensor):
        return _of_tensor(state, torch.tensor(counter, device=state.device))
    z = (counter * _STEP + state) & _ALL
    for shift, factor in _ROUNDS:
        z = (z ^ (z >> shift)) * factor & _ALL
    return _signed(z)


def _of_tensor(state: Counter, counter: torch.Tensor) -> torch.Tensor:
    """Return the next state for each element of a tensor of counters."""
    z = counter * _signed(_STEP) + state
    for shift, factor in _ROUNDS:
        z ^= (z >> shift) & (2 ** (64 - shift) - 1)  # the shift copies the sign bit, so mask those bits
        if factor != 1:
            z *= _signed(factor)
    return z


def _top(state: Counter, counters: tuple[Counter, ...], n: int) -> torch.Tensor:
    """Return the first ``n`` of 64 random bits as a whole number, float64."""
    return ((bits(state, *counters) >> (64 - n)) & (2**n - 1)).to(torch.float64)


def uniform(state: Counter, *counters: Counter) -> torch.Tensor:
    """Return uniform random numbers in [0, 1), float64 with 53 random bits; see :func:`bits`."""
    return _top(state, counters, 53) * 2.0**-53


def integers(high: int, state: Counter, *counters: Counter) -> torch.Tensor:
    """Return uniform random integers from 0 to ``high - 1``, int64; see :func:`bits`.

    Their probabilities are equal up to a relative error of ``high / 2^53``.
    """
    return (uniform(state, *counters) * high).to(torch.int64)


def normal(state: Counter, *counters: Counter) -> torch.Tensor:
    """Return standard normal random numbers, float64, by inverting the distribution function; see :func:`bits`.

    The function is inverted at the midpoints of 2^52 equal steps, so results are finite: their absolute value is at
    most 8.3.
    """
    return torch.special.ndtri((_top(state, counters, 52) + 0.5) * 2.0**-52)
