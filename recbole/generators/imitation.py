"""Reads the clean log of a data set, and draws fake users, sessions and baskets that imitate it for a spam attack.

For next-basket and session-based recommendation the attacks are those of ERASE. ERASE has no attack for collaborative
filtering; the one here was designed for this benchmark. A fake user resembles a fake session: the profile's length is
drawn like those of real users, one or two targets (promoted items) are placed away from both ends of the profile,
fillers are popular items, and gaps in time are drawn like those between a real user's ratings. No user rates an item
twice. Targets get the best rating of the scale. A filler gets a rating that some real user gave it, so that the profile
is not conspicuous. (In the literature's attack popular items get the best rating too: Mobasher, Burke, Bhaumik and
Williams, TOIT 2007; equation numbers not checked.)

Users and rows are counted in the unfiltered file. Targets and fillers are only items that pass the run's filters. ERASE
does not check this, but a target that a filter removes would not be promoted.
"""

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.data.atomic import Values, line_of, write_atomic
from recbole.data.atomic_header import read_header
from recbole.data.baskets import Baskets, read_baskets
from recbole.data.filters import core
from recbole.generators import bandwagon
from recbole.generators.basket_files import write_baskets
from recbole.generators.order import token_rank
from recbole.generators.raw_log import read_filled
from recbole.generators.usual_filters import INTERVALS, USUAL_FILTERS
from recbole.utils import FeatureType, UserError
from recbole.utils.intervals import parse_intervals

SESSION_FIELD = "session_id"
_FRESH = "fraud_"
_LARGEST = 2**53  # larger integers are not exact in double precision


@dataclass(frozen=True)
class Fakes(ABC):
    """The fake profiles (users or sessions) of a spam attack.

    Attributes:
        n: number of profiles.
        items: int64 [rows], the item of each row, as an index into the clean log's ``tokens``.
        is_target: bool [rows], whether the row's item is a target, that is, an item that the attack promotes.
    """

    n: int
    items: np.ndarray
    is_target: np.ndarray

    @abstractmethod
    def write(self, path: str | Path) -> None:
        """Write the profiles in the format of the clean log's file."""


@dataclass(frozen=True)
class FakeInteractions(Fakes):
    """Fake users (CF) or sessions (SBR).

    Attributes:
        columns: dict from name to values [rows], for the columns that are written: user, session, item, rating, time.
        types: dict from the same names to their types.
        separator: the character between columns.
    """

    columns: dict[str, Values]
    types: dict[str, FeatureType]
    separator: str

    def write(self, path: str | Path) -> None:
        """Write the rows as a file in RecBole's atomic format, with the columns in :attr:`columns`."""
        write_atomic(path, self.columns, self.types, self.separator)


@dataclass(frozen=True)
class FakeBaskets(Fakes):
    """Fake users of a next-basket file.

    Attributes:
        baskets: the users' baskets.
    """

    baskets: Baskets

    def write(self, path: str | Path) -> None:
        """Write the baskets as JSON: ``{user: [[item, …], …], …}``."""
        write_baskets(path, self.baskets)


class CleanInteractions:
    """The unfiltered interactions of an ``.inter`` file, which fake profiles (CF: users, SBR: sessions) imitate.

    Attributes:
        path: the file.
        task_type: ``CF`` or ``SBR``.
        kind: what a profile is: ``users`` or ``sessions``.
        n_profiles: number of profiles.
        n_rows: number of interactions.
        tokens: Arrow string array of the distinct items.
        popular, unpopular: int64, the most and the least popular fifth of the items that pass the filters, as indices
            into ``tokens``.
        filters: dict from the settings that filter items in training to their values.
    """

    def __init__(
        self,
        path: str | Path,
        task_type: str,
        user_field: str = "user_id",
        item_field: str = "item_id",
        rating_field: str = "rating",
        time_field: str = "timestamp",
        separator: str = "\t",
        intervals: dict[str, str] | None = None,
    ) -> None:
        """Read the file.

        In SBR a profile is a session, identified by the column ``session_id``, or by ``user_field`` if there is no such
        column.

        Args:
            path: the file.
            task_type: ``CF`` or ``SBR``.
            user_field, item_field, rating_field, time_field: names of the columns.
            separator: the character between columns.
            intervals: dict from the settings `INTERVALS`, which filter users and items in training, to their values;
                None for the defaults of the task.

        Raises:
            UserError: the file cannot be read, lacks a column or a value, has a rating or time that is not finite or
                beyond 2^53, or has too few items.
        """
        self.filters = USUAL_FILTERS[task_type] | (intervals or {})
        self.path, self.task_type, self._separator = Path(path), task_type, separator
        header = read_header(path, separator)
        self.kind = "users" if task_type == "CF" else "sessions"
        in_sessions = task_type == "SBR" and SESSION_FIELD in header
        self._profile = SESSION_FIELD if in_sessions else user_field
        self._user = user_field if user_field in header and user_field != self._profile else None
        self._item, self._rating, self._time = item_field, rating_field, time_field
        numbers = [name for name in (rating_field, time_field) if name in header] if task_type == "CF" else [time_field]
        names = [name for name in (self._user, self._profile, item_field, *numbers) if name]
        for name in numbers:
            if header.get(name, FeatureType.FLOAT) is not FeatureType.FLOAT:
                raise UserError(f"{path}:1: column '{name}' must hold numbers: write '{name}:float'")
        table = read_filled(path, names, separator)
        _refuse_extreme(path, table.select(numbers))
        self._types = {name: header[name] for name in names}
        self.n_rows = table.num_rows
        self._measure(table)

    def _measure(self, table: pa.Table) -> None:
        """Set the attributes that describe the log, from the columns that were read.

        Raises:
            UserError: the file has no interactions, or too few items pass the filters.
        """
        if not self.n_rows:
            raise UserError(f"{self.path}: the file holds no interactions")
        items = table[self._item].combine_chunks().dictionary_encode()
        profiles = table[self._profile].combine_chunks().dictionary_encode()
        self.tokens, item = items.dictionary, items.indices.to_numpy()
        self._profiles, owner = profiles.dictionary, profiles.indices.to_numpy()
        self._users = pc.unique(table[self._user]) if self._user else None
        self.n_profiles = len(self._profiles)
        self._lengths = np.bincount(owner)
        rows = core(owner, item, *(parse_intervals(self.filters[key], key) for key in INTERVALS))
        kept = np.bincount(item[rows], minlength=len(self.tokens)) > 0
        text = f" with {' and '.join(f'--{key} {self.filters[key]!r}' for key in INTERVALS)}"
        self.popular, self.unpopular = _fifths(self.path, np.bincount(item), token_rank(self.tokens), kept, text)
        self._clock: bandwagon.ProfileClock | None = None
        if self._time in table.column_names:
            self._clock = bandwagon.ProfileClock.of(owner, table[self._time].to_numpy())
        self._ratings: _Ratings | None = None
        if self._rating in table.column_names:
            self._ratings = _Ratings.of(item, table[self._rating].to_numpy(), len(self.tokens))

    def imitate(self, generator: np.random.Generator, n: int, targets: np.ndarray) -> FakeInteractions:
        """Draw ``n`` fake users (CF) or sessions (SBR) that promote ``targets`` (int64, indices into ``tokens``)."""
        once = self.task_type == "CF"
        longest = min(self._lengths.max(), len(self.popular) + 1) if once else self._lengths.max()
        lengths = bandwagon.profile_lengths(generator, n, self._lengths, longest)
        slots = bandwagon.target_slots(generator, lengths, len(targets))
        items = bandwagon.fill(generator, lengths, slots, targets, self.popular, distinct=once)
        owner = np.repeat(np.arange(n), lengths)
        profiles = fresh_ids(self._profiles, n)
        columns: dict[str, Values] = dict.fromkeys(self._types, ())  # in the file's order
        columns[self._profile] = pa.DictionaryArray.from_arrays(owner, profiles)
        columns[self._item] = pa.DictionaryArray.from_arrays(items, self.tokens)
        if self._user:
            users = fresh_ids(self._users, n, preferred=profiles)
            columns[self._user] = pa.DictionaryArray.from_arrays(owner, users)
        if self._ratings:
            columns[self._rating] = self._ratings.draw(generator, items, slots)
        if self._clock:
            columns[self._time] = self._clock.times(generator, lengths)
        return FakeInteractions(n, items, slots, columns, self._types, self._separator)


@dataclass(frozen=True)
class _Ratings:
    """The ratings of real users, grouped by item.

    Attributes:
        values: ratings [n]; item ``i`` has ``values[starts[i]:starts[i] + counts[i]]``.
        starts: int64 [items], index in ``values`` of each item's first rating.
        counts: int64 [items], number of ratings of each item.
    """

    values: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, item: np.ndarray, rating: np.ndarray, n_items: int) -> "_Ratings":
        counts = np.bincount(item, minlength=n_items)
        return cls(rating[np.argsort(item, kind="stable")], np.cumsum(counts) - counts, counts)

    def draw(self, generator: np.random.Generator, items: np.ndarray, is_target: np.ndarray) -> np.ndarray:
        """Draw a rating for each row of the fake profiles.

        A promoted item (``is_target``) gets the highest rating in the log, any other item a rating that it received.
        """
        some = self.values[self.starts[items] + generator.integers(self.counts[items])]
        return np.where(is_target, self.values.max(), some)


class CleanBaskets:
    """The baskets of all users of a next-basket file, which fake users imitate.

    An item occurs at most once in a basket, as in training; in ERASE it may be repeated in a fake basket. As in ERASE,
    users with too few baskets for training are counted and imitated too. Items that only such users have occur in no
    fake basket.

    The attributes are those of `CleanInteractions`; ``n_rows`` counts the items in all baskets.
    """

    task_type, kind = "NBR", "users"

    def __init__(self, path: str | Path, min_baskets: int = USUAL_FILTERS["NBR"]["MIN_NBR_BASKET_COUNT"]) -> None:
        """Read the file.

        Args:
            path: the file.
            min_baskets: users with fewer baskets are left out in training (``MIN_NBR_BASKET_COUNT``).

        Raises:
            UserError: the file cannot be read, is malformed or has too few items.
        """
        self.path, self.filters = Path(path), {"MIN_NBR_BASKET_COUNT": min_baskets}
        self._clean = read_baskets(path).distinct().with_at_least(1)
        numbers, item = np.unique(self._clean.items, return_inverse=True)
        self.tokens = pa.array(numbers).cast(pa.string())
        self.n_profiles, self.n_rows = len(self._clean.users), len(item)
        self._numbers = numbers
        kept = np.isin(numbers, self._clean.with_at_least(min_baskets).items)
        text = f" with --MIN_NBR_BASKET_COUNT {min_baskets}"
        self.popular, self.unpopular = _fifths(self.path, np.bincount(item), np.arange(len(numbers)), kept, text)

    def imitate(self, generator: np.random.Generator, n: int, targets: np.ndarray) -> FakeBaskets:
        """Draw ``n`` fake users whose baskets promote ``targets`` (int64, indices into ``tokens``)."""
        clean = self._clean
        n_baskets = bandwagon.baskets_per_user(generator, n, clean.baskets_per_user)
        sizes = bandwagon.basket_sizes(generator, n_baskets.sum(), clean.items_per_basket, len(self.popular) + 1)
        slots = bandwagon.leading_slots(sizes, len(targets))
        items = bandwagon.fill(generator, sizes, slots, targets, self.popular, distinct=True)
        order = bandwagon.shuffled_order(generator, sizes)
        users = fresh_ids(pa.array(clean.users, pa.string()), n).to_pylist()
        baskets = Baskets(users, n_baskets, sizes, self._numbers[items[order]])
        return FakeBaskets(n, items[order], slots[order], baskets)


def same_filter(key: str, one: Any, other: Any) -> bool:
    """Return whether two values of the filter setting ``key`` are equivalent, such as ``[5,inf)`` and ``[5, inf)``."""
    with suppress(UserError):
        return one == other or parse_intervals(one, key) == parse_intervals(other, key)
    return False  # they differ, and one is not an interval


def fresh_ids(tokens: pa.Array, n: int, preferred: pa.Array | None = None) -> pa.Array:
    """Return ``n`` ids (strings) for fake users or sessions that no real one has.

    If all existing ids are decimal integers, return the next ``n`` integers after the largest. Otherwise return
    ``fraud_1``, ``fraud_2`` and so on, continuing after the largest existing id of that form.

    Args:
        tokens: Arrow string array of the existing ids.
        n: number of ids to return.
        preferred: Arrow string array [n] of ids to return if none of them exists yet; None for no preference.

    Returns:
        Arrow string array [n].
    """
    if preferred is not None and not pc.any(pc.is_in(preferred, tokens)).as_py():
        return preferred
    whole = pc.all(pc.match_substring_regex(tokens, "^[0-9]+$")).as_py()
    prefix = "" if whole else _FRESH
    alike = tokens.filter(pc.match_substring_regex(tokens, f"^{prefix}[0-9]+$"))
    numbers = pc.utf8_ltrim(pc.utf8_slice_codeunits(alike, len(prefix)), "0")
    length = pc.utf8_length(numbers)
    largest = pc.max(numbers.filter(pc.equal(length, pc.max(length)))).as_py()
    first = int(largest or 0) + 1
    return pa.array([f"{prefix}{number}" for number in range(first, first + n)])


def _refuse_extreme(path: str | Path, table: pa.Table) -> None:
    """Raise a UserError for a time or rating that is not finite or whose absolute value exceeds 2^53."""
    for name in table.column_names:
        values = table[name].to_numpy()
        bad = np.flatnonzero(~((values >= -_LARGEST) & (values <= _LARGEST)))
        if len(bad):
            where = f"{path}:{line_of(path, bad[0])}: column '{name}'"
            raise UserError(f"{where}: {values[bad[0]]} is not a number from -2^53 to 2^53")


def _fifths(
    path: Path, counts: np.ndarray, rank: np.ndarray, kept: np.ndarray, filters: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the most and the least popular fifth of the items that pass the filters, as int64 indices of items.

    Args:
        path: the file, for the message.
        counts: int [items], number of rows of each item.
        rank: int [items]; among equally popular items, the one with the smaller rank counts as more popular.
        kept: bool [items], whether an item passes the filters.
        filters: text that names the filters, for the message.

    Raises:
        UserError: too few items pass the filters.
    """
    if kept.sum() < bandwagon.LEAST_ITEMS:
        raise UserError(
            f"{path}: a spam attack needs at least {bandwagon.LEAST_ITEMS} items, but only {kept.sum()} of {len(kept)} "
            f"are left after filtering{filters}"
        )
    return bandwagon.fifths(counts, rank, kept)
