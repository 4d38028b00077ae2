"""Read unfiltered logs from their files, find the rows that users may request to forget, and write these rows.

`read_filled` reads columns of an atomic file and checks that no value is missing.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.data.atomic import line_of, read_atomic, write_atomic
from recbole.data.atomic_header import read_header
from recbole.data.baskets import read_baskets
from recbole.utils import FeatureType, UserError, atomic_write

_BLOCK = 1 << 26
_NEWLINE = 10
_RETURN = 13


class RawInteractions:
    """The unfiltered interactions of an ``.inter`` file (CF, SBR), and the text of their lines.

    Attributes:
        users: int array [n], a number for the user of each row.
        items: Arrow string array [n], the item of each row.
        n_total: number of rows of the file.
    """

    extension = "inter"

    def __init__(
        self,
        path: str | Path,
        user_field: str = "user_id",
        item_field: str = "item_id",
        rating_field: str = "rating",
        separator: str = "\t",
        min_sensitive: int = 0,
        min_remaining: int = 0,
    ) -> None:
        """Read the file's users, items and, if there is a rating column, ratings.

        Args:
            path: the file.
            user_field, item_field, rating_field: names of the columns.
            separator: the character between columns.
            min_sensitive: users with fewer sensitive rows (see :meth:`sensitive`) make no request.
            min_remaining: users with fewer rows that are not sensitive make no request.

        Raises:
            UserError: the file cannot be read, a column is missing, or a row has no user or no item.
        """
        self.path = Path(path)
        header = read_header(path, separator)
        rated = header.get(rating_field) is FeatureType.FLOAT
        table = read_filled(path, [user_field, item_field], separator, [rating_field] if rated else [])
        self.items = table[item_field].combine_chunks()
        self.users = table[user_field].combine_chunks().dictionary_encode().indices.to_numpy()
        self._ratings = table[rating_field].to_numpy() if rated else None
        self.n_total = len(self.items)
        self._least = min_sensitive, min_remaining

    def sensitive(self, items: Iterable[str], rating_threshold: float | None = None) -> np.ndarray:
        """Return which rows users may request to forget, bool [n].

        A row is sensitive if its item is in ``items`` (tokens) and its rating is at least ``rating_threshold`` (None
        for any rating). Returned are the sensitive rows of users who have enough of them (``min_sensitive``) and enough
        other rows (``min_remaining``).

        Raises:
            UserError: a threshold is given, and the file has no ratings.
        """
        rows = _listed(self.items, items)
        if rating_threshold is not None:
            if self._ratings is None:
                raise UserError(
                    f"{self.path} has no ratings, which a rating threshold of {rating_threshold} needs; "
                    "leave out --rating_threshold"
                )
            rows = rows & (self._ratings >= rating_threshold)
        n_users = self.users.max(initial=-1) + 1
        requested = np.bincount(self.users[rows], minlength=n_users)
        others = np.bincount(self.users, minlength=n_users) - requested
        min_sensitive, min_remaining = self._least
        return rows & ((requested >= min_sensitive) & (others >= min_remaining))[self.users]

    def write(self, path: str | Path, rows: np.ndarray) -> None:
        """Write the header and the given rows (int64 indices) to ``path``, with the log's own text and LF line ends."""
        starts, ends = self._lines
        with open(self.path, "rb") as source, atomic_write(path, "wb") as file:
            file.write(source.readline().removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n") + b"\n")
            for start, end in zip(starts[rows].tolist(), ends[rows].tolist(), strict=True):
                source.seek(start)
                file.write(source.read(end - start) + b"\n")

    @cached_property
    def _lines(self) -> tuple[np.ndarray, np.ndarray]:
        """Byte positions at which each line below the header starts and ends, without line ends; int64 [n] each."""
        content = np.memmap(self.path, np.uint8, "r")
        blocks = range(0, len(content), _BLOCK)
        ends = np.concatenate([np.flatnonzero(content[at : at + _BLOCK] == _NEWLINE) + at for at in blocks])
        if content[-1] != _NEWLINE:
            ends = np.append(ends, len(content))
        starts, ends = ends[:-1] + 1, ends[1:]
        ends = ends - (content[ends - 1] == _RETURN)
        filled = ends > starts
        if filled.sum() != self.n_total:
            raise UserError(f"{self.path}: the file has line ends other than LF and CRLF; convert them")
        return starts[filled], ends[filled]


class RawBaskets:
    """The baskets of a next-basket file, ``{user: [[item, …], …]}`` (NBR), as rows, one for each item in a basket.

    Empty baskets are dropped, then users with fewer than ``min_baskets`` baskets. Repeated items in a basket are kept.

    Attributes:
        users: int array [n], index in ``tokens`` of each row's user.
        items: Arrow string array [n], the item of each row.
        n_total: number of rows, that is, of items in baskets.
        tokens: the users, in file order.
        extension: file extension of its forget sets: ``json`` for a list of users, each of whom requests all of the
            user's sensitive items, or ``inter`` for pairs of user and item.
    """

    def __init__(
        self,
        path: str | Path,
        min_baskets: int = 4,
        in_baskets: int = 1,
        user_field: str = "user_id",
        item_field: str = "item_id",
        separator: str = "\t",
    ) -> None:
        """Read the file.

        Args:
            path: the file.
            min_baskets: users with fewer baskets are left out, and so are requests that would leave a user fewer.
            in_baskets: minimum number of a user's baskets that must contain an item, so that the user requests it.
            user_field, item_field, separator: column names and separator of the forget set that :meth:`write` writes if
                ``in_baskets`` is above 1 (a file of user-item pairs).

        Raises:
            UserError: the file cannot be read or is malformed.
        """
        self.path = Path(path)
        self.min_baskets, self._in_baskets = min_baskets, in_baskets
        self._fields, self._separator = (user_field, item_field), separator
        self.extension = "json" if in_baskets == 1 else "inter"
        kept = read_baskets(path).with_at_least(min_baskets)
        self.tokens, self._owners, self._baskets = kept.users, kept.owner, kept.basket
        self.users = self._owners[self._baskets]
        self.items = pa.array(kept.items).cast(pa.string())
        self.n_total = len(self.items)

    def sensitive(self, items: Iterable[str], rating_threshold: float | None = None) -> np.ndarray:
        """Return which rows users may request to forget, bool [n].

        These are the rows whose item is in ``items`` (tokens) and in at least ``in_baskets`` of the user's baskets,
        provided that the user still has ``min_baskets`` non-empty baskets once all these rows are removed. Of equal
        items in a basket only the first is marked.

        Raises:
            UserError: a rating threshold is given.
        """
        if rating_threshold is not None:
            raise UserError(
                f"{self.path}: baskets have no ratings, which a rating threshold needs; leave out --rating_threshold"
            )
        requested = self._often(_listed(self.items, items))
        remaining = np.unique(self._baskets[~requested])
        baskets_left = np.bincount(self._owners[remaining], minlength=len(self.tokens))
        rows = np.zeros(self.n_total, bool)
        rows[self._once_per_basket(np.flatnonzero(requested & (baskets_left >= self.min_baskets)[self.users]))] = True
        return rows

    def _often(self, listed: np.ndarray) -> np.ndarray:
        """Return which of the ``listed`` rows (bool [n]) have an item that is in enough of the user's baskets.

        ``in_baskets`` is the minimum number of these baskets.
        """
        once = self._once_per_basket(np.flatnonzero(listed))
        pair = self.users * (int(self._item_codes.max(initial=0)) + 1) + self._item_codes
        pairs, n_baskets = np.unique(pair[once], return_counts=True)
        return listed & np.isin(pair, pairs[n_baskets >= self._in_baskets])

    def _once_per_basket(self, rows: np.ndarray) -> np.ndarray:
        """Return the first of the given rows (int64 indices) for each pair of item and basket."""
        _, first = np.unique(np.stack([self._baskets[rows], self._item_codes[rows]]), axis=1, return_index=True)
        return rows[first]

    @cached_property
    def _item_codes(self) -> np.ndarray:
        """A number for the item of each row, int64 [n]; equal items have equal numbers."""
        return self.items.dictionary_encode().indices.to_numpy().astype(np.int64)

    def write(self, path: str | Path, rows: np.ndarray) -> None:
        """Write the forget set of the given rows (int64 indices), in their order.

        If :attr:`extension` is ``json``, it is a JSON list of the users, otherwise an ``.inter`` file of the pairs of
        user and item. Each user or pair is written once.
        """
        users = [self.tokens[user] for user in self.users[rows].tolist()]
        if self.extension == "json":
            with atomic_write(path) as file:
                json.dump(list(dict.fromkeys(users)), file, ensure_ascii=False)
                file.write("\n")
            return
        pairs = list(dict.fromkeys(zip(users, self.items.take(pa.array(rows)).to_pylist(), strict=True)))
        columns = {field: [pair[at] for pair in pairs] for at, field in enumerate(self._fields)}
        write_atomic(path, columns, dict.fromkeys(self._fields, FeatureType.TOKEN), self._separator)


def read_filled(
    path: str | Path, columns: Sequence[str], separator: str = "\t", maybe_empty: Sequence[str] = ()
) -> pa.Table:
    """Read columns of an atomic file as an Arrow table in which every row has a value.

    Args:
        path: the file.
        columns: names of columns that must have a value in every row.
        separator: the character between columns.
        maybe_empty: names of further columns, in which values may be missing.

    Raises:
        UserError: the file cannot be read, a column is missing, or a row has no value in one of ``columns``.
    """
    table = read_atomic(path, [*columns, *maybe_empty], separator).table
    for name in columns:
        missing = pc.is_null(table[name], nan_is_null=True)
        if pc.any(missing).as_py():
            first, n = line_of(path, pc.index(missing, True).as_py()), pc.sum(missing).as_py()
            raise UserError(f"{path}:{first}: column '{name}' has no value (in {n} of {len(table)} rows); fill it in")
    return table


def _listed(tokens: pa.Array, items: Iterable[str]) -> np.ndarray:
    """Return for each of ``tokens`` (Arrow string array [n]) whether it is one of ``items``, bool [n]."""
    return pc.is_in(tokens, pa.array(list(items), pa.string())).to_numpy(zero_copy_only=False)
