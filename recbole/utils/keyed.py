"""Random numbers that are computed from a key and integers, such as (seed, epoch) and the number of an example.

An ordinary generator returns numbers in sequence, so leaving out an example would change the numbers of all later
examples. Here, a random number is a hash of a key and of integers, called counters. It does not depend on which other
random numbers are drawn, so all other examples keep their numbers.

The hash is SplitMix64: G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014 (with
the output function of D. Stafford's "Mix13"). The generator's state is the key plus the counter times a constant. With
several counters, the output for one of them replaces the key for the next. All arithmetic is that of int64 tensors,
which wraps around and is bit-identical on every device.
"""

from typing import SupportsInt

import torch

from recbole.utils.seeds import torch_seed

Counter = int | torch.Tensor
"""An integer, or an int64 tensor of integers. Several counters are broadcast against each other, as in PyTorch."""

_STEP = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
_ALL = 2**64 - 1


def _signed(number: int) -> int:
    """Return the int64 that has the lowest 64 bits of an integer."""
    return (number + 2**63 & _ALL) - 2**63


def key(seed: SupportsInt, *name: str | SupportsInt) -> int:
    """Return a key for the functions below: an integer from 0 to 2^63 - 1 that is computed from seed and name.

    Args:
        seed: the run's seed.
        name: what the random numbers are for, such as ``"dropout", epoch``: texts, or integers of at least 0.
    """
    return torch_seed(seed, "keyed", *name)


def bits(state: Counter, *counters: Counter) -> torch.Tensor:
    """Return 64 random bits for each combination of counters.

    Args:
        state: a key from :func:`key`. Or the result of this function for the first counters; the result for the others
            is then the same as with all counters in one call.
        counters: at least one, such as the numbers of examples.

    Returns:
        int64, with the broadcast shape of the counters, on their device.
    """
    for counter in counters:
        state = _of_number(state, counter) if isinstance(counter, int) else _of_tensor(state, counter)
    return torch.as_tensor(state)


def _of_number(state: Counter, counter: int) -> Counter:
    """Return the hash of a state (key) and an integer counter: an integer, or a tensor if the state is a tensor."""
    if isinstance(state, torch.Tensor):
        return _of_tensor(state, torch.tensor(counter, device=state.device))
    z = (counter * _STEP + state) & _ALL
    for shift, factor in _ROUNDS:
        z = (z ^ (z >> shift)) * factor & _ALL
    return _signed(z)


def _of_tensor(state: Counter, counter: torch.Tensor) -> torch.Tensor:
    """Return the hash of a state (key) and each element of a tensor of counters, as an int64 tensor."""
    z = counter * _signed(_STEP) + state
    for shift, factor in _ROUNDS:
        z ^= (z >> shift) & (2 ** (64 - shift) - 1)  # the shift copies the sign bit, so mask those bits
        if factor != 1:
            z *= _signed(factor)
    return z


def _top(state: Counter, counters: tuple[Counter, ...], n: int) -> torch.Tensor:
    """Return random whole numbers from 0 to ``2^n - 1`` (float64), the first ``n`` of the 64 bits of :func:`bits`."""
    return ((bits(state, *counters) >> (64 - n)) & (2**n - 1)).to(torch.float64)


def uniform(state: Counter, *counters: Counter) -> torch.Tensor:
    """Return uniform random numbers in [0, 1), float64 with 53 random bits; arguments and shape as in :func:`bits`."""
    return _top(state, counters, 53) * 2.0**-53


def integers(high: int, state: Counter, *counters: Counter) -> torch.Tensor:
    """Return uniform random integers from 0 to ``high - 1``, int64; other arguments and shape as in :func:`bits`.

    Their probabilities are equal up to a relative error of ``high / 2^53``.
    """
    return (uniform(state, *counters) * high).to(torch.int64)


def normal(state: Counter, *counters: Counter) -> torch.Tensor:
    """Return standard normal random numbers, float64; arguments and shape as in :func:`bits`.

    The inverse of the normal distribution function is computed at a random one of 2^52 equally spaced points in (0, 1).
    The results are therefore finite, with an absolute value of at most 8.3.
    """
    return torch.special.ndtri((_top(state, counters, 52) + 0.5) * 2.0**-52)
