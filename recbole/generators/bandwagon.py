"""Random draws of a bandwagon attack: number and lengths of the fake profiles, their items, positions and times.

A fake profile (a fake user, session or basket) promotes one or two *targets*, which are unpopular items, among popular
*fillers*, so that it looks like a user with mainstream taste. This is the bandwagon attack (Mobasher, Burke, Bhaumik
and Williams, "Toward trustworthy recommender systems", ACM Transactions on Internet Technology 7(4), 2007; equation
numbers not checked). The constants and distributions are those of ERASE (Lubitzsch, de Rijke and Schelter, SIGIR 2026,
arXiv 2603.08341), as stated at each function. The random numbers that ERASE draws after ``np.random.seed(seed)`` are
not reproduced.

All functions work on flat arrays with one row per item of a profile. The rows of a profile are consecutive, and items
are integers.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

LEAST_LENGTH = 4
"""The smallest number of items in a fake profile, and of baskets of a fake next-basket user."""

LEAST_ITEMS = 15
"""The smallest number of items with which the most popular fifth can fill the shortest profile without repetition."""

_FAR = 1e15  # NumPy's Poisson draws end at 9e18


def n_fake(ratio: float, n_real: int) -> int:
    """Return the number of fake profiles that make up a share ``ratio`` of all profiles, real and fake together.

    The formula is ``ceil(r S / (1 - r))`` for ``S`` real profiles. It is computed exactly: with floats, 19 real
    profiles and a share of 0.05 would give 2 instead of 1.
    """
    share = Fraction(str(float(ratio)))
    return math.ceil(share * n_real / (1 - share))


def fifths(counts: np.ndarray, rank: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most popular and the least popular fifth of some items.

    Args:
        counts: int array [items], number of occurrences of each item.
        rank: int array [items]; among equally popular items the one with the smaller rank comes first.
        among: bool [items], which items to consider.

    Returns:
        Two int64 arrays of indices of items, each beginning with the most popular.
    """
    order = np.lexsort((rank, -counts))
    order = order[among[order]]
    size = len(order) // 5
    return order[:size], order[len(order) - size :]


def profile_lengths(generator: np.random.Generator, n: int, observed: np.ndarray, longest: int) -> np.ndarray:
    """Draw the lengths (numbers of items) of ``n`` fake profiles, int64 [n].

    ``clip(max(4, Poisson(lambda)), 4, longest)`` with a log-normal ``lambda`` of mean ``m = 0.8 mean(observed)`` and
    standard deviation ``s = std(observed)``: ``sigma^2 = ln(1 + s^2 / m^2)``, ``mu = ln m - sigma^2 / 2``.

    Args:
        generator: NumPy random generator.
        n: number of profiles.
        observed: int array, the lengths of the real profiles.
        longest: upper limit of the lengths; values below 4 count as 4.
    """
    mean = 0.8 * observed.mean()
    variance = math.log1p((observed.std() / mean) ** 2)
    rate = generator.lognormal(math.log(mean) - variance / 2, math.sqrt(variance), n)
    return np.clip(generator.poisson(np.minimum(rate, _FAR)), LEAST_LENGTH, max(longest, LEAST_LENGTH))


def baskets_per_user(generator: np.random.Generator, n: int, observed: np.ndarray) -> np.ndarray:
    """Draw the number of baskets of each of ``n`` fake users, int64 [n].

    ``clip(max(4, int(N(0.8 A, 0.2 A))), 4, int(1.5 A))`` with ``A = max(4, int(mean(observed)))``, where ``observed``
    (int array) has the numbers of baskets of the real users.
    """
    usual = max(LEAST_LENGTH, int(observed.mean()))
    return np.clip(generator.normal(0.8 * usual, 0.2 * usual, n).astype(np.int64), LEAST_LENGTH, int(1.5 * usual))


def basket_sizes(generator: np.random.Generator, n: int, observed: np.ndarray, largest: int) -> np.ndarray:
    """Draw the sizes (numbers of items) of ``n`` baskets, int64 [n].

    ``clip(max(2, int(N(0.9 mean, std))), 2, int(0.8 max))`` with mean, std and max of ``observed`` (int array, the
    sizes of the real baskets). No size exceeds ``largest``, except that every size is at least 2.
    """
    drawn = generator.normal(0.9 * observed.mean(), observed.std(), n).astype(np.int64)
    return np.clip(drawn, 2, max(2, min(int(0.8 * observed.max()), largest)))


def target_slots(generator: np.random.Generator, lengths: np.ndarray, n_targets: int) -> np.ndarray:
    """Draw the positions of the targets (promoted items) in each profile, never the first or the last.

    Each position is drawn uniformly from ``[max(1, 0.2 L), max(2, 0.9 L))``, rounded down, where L is the profile's
    length. A profile has two positions if L is at least 6, and otherwise one. It also has only one if both draws are
    equal or if there is only one target item.

    Args:
        generator: NumPy random generator.
        lengths: int64 [profiles], number of rows of each profile.
        n_targets: number of promoted items of the attack.

    Returns:
        bool [rows], True where a row holds a target.
    """
    low, high = np.maximum(1, lengths // 5), np.maximum(2, 9 * lengths // 10)
    place = (np.cumsum(lengths) - lengths) + generator.integers(low, high, (2, len(lengths)))
    slots = np.zeros(lengths.sum(), bool)
    slots[place[0]] = True
    slots[place[1, (lengths >= 6) & (n_targets > 1)]] = True
    return slots


def leading_slots(lengths: np.ndarray, n_targets: int) -> np.ndarray:
    """Return the positions of the targets (promoted items) in each basket: its first row, or its first two rows.

    There are two if the basket has 5 items or more and the attack has more than one target. The caller shuffles the
    rows of each basket later.

    Args:
        lengths: int64 [baskets], number of rows of each basket.
        n_targets: number of promoted items of the attack.

    Returns:
        bool [rows], True where a row holds a target.
    """
    wanted = np.where((lengths >= 5) & (n_targets > 1), 2, 1)
    return _place_within(lengths) < np.repeat(wanted, lengths)


def fill(
    generator: np.random.Generator,
    lengths: np.ndarray,
    slots: np.ndarray,
    targets: np.ndarray,
    popular: np.ndarray,
    distinct: bool,
) -> np.ndarray:
    """Draw the item of each row: uniformly from ``targets`` where ``slots`` is True, else uniformly from ``popular``.

    Args:
        generator: NumPy random generator.
        lengths: int64 [profiles], number of rows of each profile (in next-basket data: of each basket).
        slots: bool [rows], True where a row holds a target (promoted item); one or two per profile.
        targets: int64, the target items.
        popular: int64, the filler items.
        distinct: whether an item may occur only once in a profile.

    Returns:
        int64 [rows], the items.
    """
    n = len(lengths)
    owner = np.repeat(np.arange(n), lengths)
    items = np.empty(len(owner), np.int64)
    who = owner[slots]
    second = np.diff(who, prepend=-1) == 0
    items[slots] = targets[_pairs(generator, n, len(targets), distinct)[second.astype(np.int64), who]]
    n_fillers = lengths - np.bincount(who, minlength=n)
    draw = draw_distinct if distinct else _draw
    items[~slots] = popular[draw(generator, n_fillers, len(popular))]
    return items


def _pairs(generator: np.random.Generator, n: int, n_targets: int, distinct: bool) -> np.ndarray:
    """Draw two targets for each of ``n`` profiles, as indices below ``n_targets``, int64 [2, n].

    If ``distinct``, the two are different, provided that there is more than one target.
    """
    pair = generator.integers(n_targets, size=(2, n))
    if distinct:
        pair[1] = (pair[0] + 1 + generator.integers(max(n_targets - 1, 1), size=n)) % n_targets
    return pair


def _draw(generator: np.random.Generator, sizes: np.ndarray, pool: int) -> np.ndarray:
    """Draw ``sum(sizes)`` numbers below ``pool`` uniformly, with replacement; int64."""
    return generator.integers(pool, size=sizes.sum())


def draw_distinct(generator: np.random.Generator, sizes: np.ndarray, pool: int) -> np.ndarray:
    """Draw ``sizes[i]`` different numbers below ``pool`` for each group ``i``, uniformly, in random order.

    A group that needs more than a quarter of the pool gets the first numbers of a shuffled pool. For any other group,
    numbers are drawn one by one, and a number that the group already has is drawn again.

    Args:
        generator: NumPy random generator.
        sizes: int64 [groups], each at most ``pool``.
        pool: the numbers 0 to ``pool - 1`` are drawn from.

    Returns:
        int64 [sum(sizes)], one group after the other.
    """
    owner = np.repeat(np.arange(len(sizes)), sizes)
    drawn = np.empty(len(owner), np.int64)
    many = 4 * sizes > pool
    shuffled = generator.random((many.sum(), pool)).argsort(axis=1)
    drawn[many[owner]] = shuffled[np.arange(pool) < sizes[many][:, None]]
    few = np.flatnonzero(~many[owner])
    again = few
    while len(again):
        drawn[again] = generator.integers(pool, size=len(again))
        _, first = np.unique(owner[few] * pool + drawn[few], return_index=True)
        again = np.delete(few, first)
    return drawn


def shuffled_order(generator: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """Return row indices (int64 [rows]) that shuffle the rows of each profile and keep the order of the profiles."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    return np.lexsort((generator.random(len(owner)), owner))


@dataclass(frozen=True)
class ProfileClock:
    """Statistics of the times in a log, from which the times of fake profiles are drawn. Units are those of the log.

    Attributes:
        first, last: the earliest and the latest time, rounded down.
        mean_gap, std_gap: mean and standard deviation of the time between consecutive rows of a profile; 0 if no
            profile has two rows.
    """

    first: int
    last: int
    mean_gap: float
    std_gap: float

    @classmethod
    def of(cls, owner: np.ndarray, time: np.ndarray) -> "ProfileClock":
        """Compute the statistics of a log with n rows.

        Args:
            owner: int [n], the number of each row's profile; rows may be in any order.
            time: int64 or float64 [n], the time of each row.
        """
        order = np.lexsort((time, owner))
        gaps = np.diff(time[order])[np.diff(owner[order]) == 0]
        mean, std = (float(gaps.mean()), float(gaps.std())) if len(gaps) else (0.0, 0.0)
        return cls(math.floor(time.min()), math.floor(time.max()), mean, std)

    def times(self, generator: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
        """Draw the time of each row of fake profiles, int64 [rows], ascending within a profile.

        The first time is uniform in ``[first, last)``. Each gap is ``max(1, round(g))``, where ``g`` has a Weibull
        distribution with mean ``m = 0.7 mean_gap``: its shape is ``k = 1.2 / (std_gap / m)`` and its scale
        ``m / Gamma(1 + 1/k)``. The formula for ``k`` is ERASE's approximation; with ``std_gap > m``, most gaps are far
        below the mean. Unlike in ERASE, a gap is at most the time span of the log, because heavy tails (small ``k``)
        would otherwise overflow.

        Args:
            generator: NumPy random generator.
            lengths: int64 [profiles], number of rows of each profile.
        """
        start = generator.integers(self.first, max(self.last, self.first + 1), len(lengths))
        span = max(self.last - self.first, 1)
        mean = 0.7 * self.mean_gap
        inverse_shape = self.std_gap / mean / 1.2 if mean else 0.0
        unit = np.maximum(generator.standard_exponential(lengths.sum()), np.finfo(float).tiny)
        log_gap = math.log(mean or 1) - math.lgamma(1 + inverse_shape) + inverse_shape * np.log(unit)
        gaps = np.maximum(1, np.rint(np.exp(np.minimum(log_gap, math.log(span))))).astype(np.int64)
        before = np.cumsum(gaps) - gaps
        return np.repeat(start - before[np.cumsum(lengths) - lengths], lengths) + before


def _place_within(lengths: np.ndarray) -> np.ndarray:
    """Return the index of each row within its profile, int64 [rows] from 0."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
