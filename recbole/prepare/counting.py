"""Sizes of a prepared data set (numbers of users, items, ...), and checks that its files fit together."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.data.atomic_header import read_header
from recbole.data.baskets import read_baskets
from recbole.generators.raw_log import read_filled
from recbole.utils import UserError, read_json

_USERS = ("user_id", "session_id")
_PARTS = ("train", "valid", "train_all", "test")
_STALE = "the files are from different preparations: prepare the data set again"


class Interactions:
    """The interactions in the ``.inter`` file of a prepared data set, for collaborative filtering or sessions.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        """Read the columns ``user_id`` and ``session_id`` (those that exist) and ``item_id`` of a file.

        Raises:
            UserError: the file cannot be read, lacks a column, or has a row without a value.
        """
        self.path = path
        header = read_header(path)
        self._names = [name for name in (*_USERS, "item_id") if name in header]
        if self._names[-1:] != ["item_id"] or len(self._names) < 2:
            raise UserError(
                f"{path}: expected the columns user_id or session_id, and item_id; it has {', '.join(header)}"
            )
        table = read_filled(path, self._names)
        self._columns = {name: table[name].combine_chunks().dictionary_encode() for name in self._names}

    def counts(self) -> dict[str, int]:
        """Return the numbers of ``interactions``, ``users``, ``sessions`` and ``items``, as a dict.

        Users or sessions are left out if the file has no such column. If the data set also has files for a given split,
        such as ``<name>.train.inter``, the dict has their numbers of rows, such as ``train_interactions``.
        """
        words = {"user_id": "users", "session_id": "sessions", "item_id": "items"}
        found = {"interactions": len(self._columns["item_id"])}
        found |= {words[name]: len(column.dictionary) for name, column in self._columns.items()}
        for part in _PARTS:
            path = self.path.with_suffix(f".{part}.inter")
            if path.is_file():
                found[f"{part}_interactions"] = len(read_filled(path, ["item_id"]))
        return found

    def least(self) -> dict[str, int]:
        """Return a dict: the smallest number of rows of a user (``rows_per_user``) and of an item (``rows_per_item``).

        If the file has no users, sessions count as users.
        """
        return {
            "rows_per_user": int(np.bincount(self._codes(self._names[0])).min()),
            "rows_per_item": int(np.bincount(self._codes("item_id")).min()),
        }

    @property
    def items(self) -> pa.Array:
        """The distinct items, an Arrow string array."""
        return self._columns["item_id"].dictionary

    def strangers(self, paths: Iterable[Path]) -> str | None:
        """Check that all (user, item) pairs in some forget sets occur in the data.

        Args:
            paths: the files of the forget sets, which list interactions to forget.

        Returns:
            A message about the first pair that does not occur; None if all do.
        """
        user = self._names[0]
        n_items = len(self.items)
        log = self._codes(user).astype(np.int64) * n_items + self._codes("item_id")
        for path in paths:
            asked = read_filled(path, [user, "item_id"])
            places = [pc.index_in(asked[name], self._columns[name].dictionary) for name in (user, "item_id")]
            codes = [pc.fill_null(place, -1).to_numpy().astype(np.int64) for place in places]
            known = np.minimum(*codes) >= 0
            rows = log[np.isin(self._codes(user), codes[0])]
            known &= np.isin(codes[0] * n_items + codes[1], rows)
            if not known.all():
                at = int(np.argmin(known))
                pair = f"{user} {asked[user][at]} with item {asked['item_id'][at]}"
                return f"{path.name}: {pair} is not in {self.path.name}"
        return None

    def _codes(self, name: str) -> np.ndarray:
        return self._columns[name].indices.to_numpy()


class Purchases:
    """The baskets in the ``_merged.json`` file of a prepared data set, for next-basket recommendation.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        """Read a file.

        Raises:
            UserError: the file cannot be read or is malformed.
        """
        self.path = path
        self._baskets = read_baskets(path)

    def counts(self) -> dict[str, int]:
        """Return a dict with the numbers of ``interactions`` (basket entries), ``users``, ``baskets`` and ``items``."""
        own = self._baskets
        return {
            "interactions": len(own.items),
            "users": len(own.users),
            "baskets": len(own.items_per_basket),
            "items": len(self.items),
        }

    def least(self) -> dict[str, int]:
        """Return a dict: the smallest number of baskets of a user (``baskets_per_user``) and of items in a basket.

        The second key is ``items_per_basket``.
        """
        own = self._baskets
        return {
            "baskets_per_user": int(own.baskets_per_user.min()),
            "items_per_basket": int(own.items_per_basket.min()),
        }

    @cached_property
    def items(self) -> pa.Array:
        """The distinct items, an Arrow string array."""
        return pa.array(np.unique(self._baskets.items)).cast(pa.string())

    def strangers(self, paths: Iterable[Path]) -> str | None:
        """Check that all users and items in some forget sets occur in the data.

        Args:
            paths: the files of the forget sets: lists of users (.json), or (user, item) pairs (.inter).

        Returns:
            A message about the first user or item that does not occur; None if all do.
        """
        users = pa.array(self._baskets.users)
        for path in paths:
            asked = self._asked(path)
            for name, known in {"user": users, "item": self.items}.items():
                told = pa.array(asked.get(name, ()), pa.string())
                if len(unknown := told.filter(pc.invert(pc.is_in(told, known)))):
                    return f"{path.name}: {name} {unknown[0]} is not in {self.path.name}"
        return None

    @staticmethod
    def _asked(path: Path) -> Mapping[str, Iterable[str]]:
        if path.suffix == ".json":
            return {"user": read_json(path, list)}
        table = read_filled(path, ["user_id", "item_id"])
        return {"user": table["user_id"].to_pylist(), "item": table["item_id"].to_pylist()}


def opened(folder: Path, name: str) -> Interactions | Purchases:
    """Read a prepared data set: its ``.inter`` file, or if there is none, its ``_merged.json`` file.

    Args:
        folder: the folder of the data set.
        name: the data set's name, with which the files' names begin.

    Raises:
        UserError: neither file exists, or the file cannot be read.
    """
    inter, merged = folder / f"{name}.inter", folder / f"{name}_merged.json"
    if inter.is_file():
        return Interactions(inter)
    if merged.is_file():
        return Purchases(merged)
    raise UserError(f"{folder} contains neither {inter.name} nor {merged.name}: prepare the data set first")


def check_together(data: Interactions | Purchases, at_least: Mapping[str, int]) -> None:
    """Check that the files of a prepared data set were written by the same preparation.

    All sensitive items and all entries of forget sets must occur in the data, and the data must have the properties
    that the preparation guarantees.

    Args:
        data: the prepared data set.
        at_least: the properties: dict from the name of a value that ``data.least()`` returns, such as
            ``rows_per_user``, to its minimum.

    Raises:
        UserError: the files do not fit together, or ``at_least`` has an unknown name.
    """
    found = data.least()
    for what, least in at_least.items():
        if what not in found:
            raise UserError(
                f"published.yaml: at_least: '{what}' is not a count of {data.path.name}; known are {', '.join(found)}"
            )
        if found[what] < least:
            told = what.replace("_", " ")
            raise UserError(
                f"{data.path}: the smallest number of {told} is {found[what]}, but the preparation leaves at least "
                f"{least}; {_STALE}"
            )
    folder = data.path.parent
    for path in sorted(folder.glob("sensitive_asins_*.txt")):
        listed = pa.array(path.read_text(encoding="utf-8").split("\n")[:-1], pa.string())
        if len(unknown := listed.filter(pc.invert(pc.is_in(listed, data.items)))):
            raise UserError(f"{path.name}: item {unknown[0]} is not in {data.path.name}; {_STALE}")
    name = data.path.name.removesuffix("_merged.json").removesuffix(".inter")
    if strangers := data.strangers(sorted(folder.glob(f"{name}_unlearn_pairs_*"))):
        raise UserError(f"{strangers}; {_STALE}")
