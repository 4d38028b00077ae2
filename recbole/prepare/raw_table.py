"""Raw interactions in memory, with the operations that turn them into an ``.inter`` file, such as filters."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recbole.data.atomic import write_atomic
from recbole.data.filters import core
from recbole.generators.order import token_rank
from recbole.utils.intervals import parse_intervals

T = TypeVar("T")


@dataclass(frozen=True)
class RawTable:
    """A table of n interactions, one per row. Its methods return new tables and leave this one unchanged.

    A token is the id of a user, item or session as text. To save memory, each row stores an integer code for it.

    Attributes:
        codes: dict from the name of a token column, such as ``user_id``, to int32 [n], the code of each row: an index
            into ``tokens[name]``.
        tokens: dict from the name of a token column to an Arrow string array of distinct tokens. Some may occur in no
            row.
        numbers: dict from the name of a numeric column, such as ``timestamp``, to int64 or float64 [n], the values.
    """

    codes: dict[str, np.ndarray]
    tokens: dict[str, pa.Array]
    numbers: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.codes["user_id"])

    @classmethod
    def collect(
        cls,
        batches: Iterable[pa.RecordBatch | Mapping[str, pa.Array]],
        tokens: Sequence[str],
        numbers: Sequence[str] = (),
    ) -> "RawTable":
        """Build a table from Arrow record batches.

        Args:
            batches: the batches, or dicts from column name to Arrow array. No value may be null in the columns that
                ``tokens`` and ``numbers`` name; other columns are ignored.
            tokens: names of the token columns, among which ``user_id`` and ``item_id``.
            numbers: names of the numeric columns.
        """
        kept: dict[str, list[Any]] = {name: [] for name in (*tokens, *numbers)}
        for batch in batches:
            for name in tokens:
                kept[name].append(pc.cast(batch[name], pa.string()).dictionary_encode())
            for name in numbers:
                kept[name].append(batch[name].to_numpy(zero_copy_only=False))
        encoded = {name: pa.chunked_array(kept.pop(name), _ENCODED).unify_dictionaries() for name in tokens}
        return cls(
            {name: np.concatenate([_NOTHING, *map(_codes, column.chunks)]) for name, column in encoded.items()},
            {name: column.chunk(0).dictionary if len(column) else _NO_TOKENS for name, column in encoded.items()},
            {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in kept.items()},
        )

    def take(self, rows: np.ndarray) -> "RawTable":
        """Return a table with some of the rows. Their codes stay the same.

        Args:
            rows: integer indices of the rows, in the new order; or bool [n], True for the rows to keep.
        """
        codes = {name: column[rows] for name, column in self.codes.items()}
        return RawTable(codes, self.tokens, {name: column[rows] for name, column in self.numbers.items()})

    def without(self, *names: str) -> "RawTable":
        """Return the table without the named columns."""
        return RawTable(_except(self.codes, names), _except(self.tokens, names), _except(self.numbers, names))

    def with_tokens(self, name: str, codes: npt.ArrayLike, tokens: pa.Array, before: str) -> "RawTable":
        """Return the table with one more token column.

        Args:
            name: the new column's name.
            codes: integers [n], for each row an index into ``tokens``.
            tokens: Arrow string array of distinct tokens.
            before: the name of the token column before which the new one is placed.
        """
        column = {name: np.asarray(codes, np.int32)}
        at = list(self.codes).index(before)
        names = list(self.codes)
        both = {**self.codes, **column}
        return RawTable(
            {key: both[key] for key in (*names[:at], name, *names[at:])}, {**self.tokens, name: tokens}, self.numbers
        )

    def distinct(self) -> "RawTable":
        """Remove rows that equal an earlier row in every column; the other rows keep their order."""
        columns = [*self.codes.values(), *self.numbers.values()]
        rows = _maybe_again(columns)
        order = rows[np.lexsort([column[rows] for column in columns])]
        again = np.ones(max(len(order) - 1, 0), bool)
        for column in columns:
            ordered = column[order]
            again &= ordered[1:] == ordered[:-1]
        kept = np.ones(len(self), bool)
        kept[order[1:][again]] = False
        return self if kept.all() else self.take(kept)

    def ordered(self, time: str = "timestamp") -> "RawTable":
        """Sort the rows by user, and each user's rows by time. A user's rows with equal times keep their order.

        Users are sorted by their tokens: as integers if all tokens are integers, else by code point.

        Args:
            time: the name of the numeric column with the time.
        """
        user = token_rank(self.tokens["user_id"])[self.codes["user_id"]]
        return self.take(np.lexsort((self.numbers[time], user)))

    def core(self, k: int) -> "RawTable":
        """Return the k-core: remove users and items with fewer than ``k`` rows, repeatedly, until all have ``k``."""
        at_least = parse_intervals(f"[{k},inf)", "k-core")
        return self.take(core(self.codes["user_id"], self.codes["item_id"], at_least, at_least))

    def with_sessions(self, gap: float) -> "RawTable":
        """Divide each user's interactions into sessions, and add the column ``session_id``.

        The rows must be sorted by user and time, see `ordered`. A session has the token ``<user>_session_<k>``, where k
        counts the user's sessions from 0.

        Args:
            gap: the longest time between two successive interactions in a session, in the unit of ``timestamp``. After
                a longer pause, a new session starts.
        """
        user = self.codes["user_id"]
        first = np.ones(len(self), bool)
        first[1:] = user[1:] != user[:-1]
        new = first.copy()
        new[1:] |= np.diff(self.numbers["timestamp"]) > gap
        session = np.cumsum(new) - 1
        number = session[new] - np.repeat(session[first], np.diff(np.append(session[first], new.sum())))
        owner = self.tokens["user_id"].take(pa.array(user[new]))
        names = pc.binary_join_element_wise(owner, "_session_", pa.array(number).cast(pa.string()), "")
        return self.with_tokens("session_id", session, names, before="item_id")

    def counts(self) -> dict[str, int]:
        """Return a dict with the numbers of ``interactions``, ``users``, ``items``, ``sessions`` and ``products``.

        Only tokens that occur in the rows are counted. Without a column of sessions or products, the key is missing.
        """
        words = {"user_id": "users", "session_id": "sessions", "item_id": "items", "parent_asin": "products"}
        different = {words[name]: int(np.count_nonzero(np.bincount(codes))) for name, codes in self.codes.items()}
        return {"interactions": len(self), **different}

    def items(self) -> pa.Array:
        """Return the items that occur in the rows: an Arrow string array of distinct tokens."""
        return self.tokens["item_id"].take(pa.array(np.unique(self.codes["item_id"])))

    def sample_users(self, share: float, generator: np.random.Generator) -> "RawTable":
        """Return a table with all rows of some users, who are drawn at random.

        Args:
            share: the share of the users to draw, from 0 to 1; at least one user is drawn.
            generator: the random generator to draw with.
        """
        users = np.unique(self.codes["user_id"])
        users = users[np.argsort(token_rank(self.tokens["user_id"])[users])]
        chosen = generator.choice(users, max(1, int(len(users) * share)), replace=False)
        return self.take(np.isin(self.codes["user_id"], chosen))

    def write(self, path: str | Path) -> None:
        """Write the table as an ``.inter`` file: first the token columns, then the numeric columns."""
        columns = {name: pa.DictionaryArray.from_arrays(codes, self.tokens[name]) for name, codes in self.codes.items()}
        types = dict.fromkeys(self.codes, "token") | dict.fromkeys(self.numbers, "float")
        write_atomic(path, columns | self.numbers, types)


def _maybe_again(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Find the rows that may be duplicates, by comparing hashes.

    Args:
        columns: integers or floats [n] each, the columns of a table.

    Returns:
        int64, ascending row indices: all rows that equal another row in every column, and a few others by chance.
    """
    hashed = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        bits = column + 0.0 if column.dtype.kind == "f" else column.astype(np.int64)  # -0 is 0
        hashed ^= bits.view(np.uint64)
        del bits
        hashed *= _ODD
        hashed ^= hashed >> np.uint64(32)
    place = (hashed & np.uint64(_PLACES - 1)).astype(np.uint32)
    hashed.sort()
    again = hashed[1:][hashed[1:] == hashed[:-1]]
    likely = np.zeros(_PLACES, bool)
    likely[again & np.uint64(_PLACES - 1)] = True
    return np.flatnonzero(likely[place])


def _codes(chunk: pa.DictionaryArray) -> np.ndarray:
    return chunk.indices.to_numpy()


def _except(columns: Mapping[str, T], names: Container[str]) -> dict[str, T]:
    return {name: column for name, column in columns.items() if name not in names}


_ODD, _PLACES = np.uint64(0x9E3779B97F4A7C15), 1 << 24
_ENCODED = pa.dictionary(pa.int32(), pa.string())
_NOTHING = np.zeros(0, np.int32)
_NO_TOKENS = pa.array([], pa.string())
