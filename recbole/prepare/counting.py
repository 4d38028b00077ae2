"""Counts of a prepared data set (users, items, ...), and checks that its files are from one preparation."""

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
_STALE = "these files are not of one preparation: prepare the data set again"


class Interactions:
    """The ``.inter`` file of a data set (CF, SBR).

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        """Read the columns of tokens.

        Raises:
            UserError: the file cannot be read, or lacks a column or a value.
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
        """Return the numbers of interactions, users, sessions and items, and of rows in the files of a given split."""
        words = {"user_id": "users", "session_id": "sessions", "item_id": "items"}
        found = {"interactions": len(self._columns["item_id"])}
        found |= {words[name]: len(column.dictionary) for name, column in self._columns.items()}
        for part in _PARTS:
            path = self.path.with_suffix(f".{part}.inter")
            if path.is_file():
                found[f"{part}_interactions"] = len(read_filled(path, ["item_id"]))
        return found

    def least(self) -> dict[str, int]:
        """Return the smallest number of rows of a user, and of an item."""
        return {
            "rows_per_user": int(np.bincount(self._codes(self._names[0])).min()),
            "rows_per_item": int(np.bincount(self._codes("item_id")).min()),
        }

    @property
    def items(self) -> pa.Array:
        """The distinct items, an Arrow string array."""
        return self._columns["item_id"].dictionary

    def strangers(self, paths: Iterable[Path]) -> str | None:
        """Return a description of the first forget-set row (in the files ``paths``) that is not in the log, or None."""
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
    """The ``_merged.json`` file of a data set (NBR).

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        """Read the baskets.

        Raises:
            UserError: the file cannot be read or does not have that form.
        """
        self.path = path
        self._baskets = read_baskets(path)

    def counts(self) -> dict[str, int]:
        """Return the numbers of purchases (items in baskets), users, baskets and distinct items."""
        own = self._baskets
        return {
            "interactions": len(own.items),
            "users": len(own.users),
            "baskets": len(own.items_per_basket),
            "items": len(self.items),
        }

    def least(self) -> dict[str, int]:
        """Return the smallest number of baskets of a user, and of items in a basket."""
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
        """Return a description of the first user or item in the forget sets ``paths`` that has no basket, or None."""
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
    """Read the prepared data set in a folder.

    Raises:
        UserError: nothing was prepared there, or the file cannot be read.
    """
    inter, merged = folder / f"{name}.inter", folder / f"{name}_merged.json"
    if inter.is_file():
        return Interactions(inter)
    if merged.is_file():
        return Purchases(merged)
    raise UserError(f"{folder} holds neither {inter.name} nor {merged.name}: nothing was prepared there yet")


def check_together(data: Interactions | Purchases, at_least: Mapping[str, int]) -> None:
    """Check that the sensitive items and forget sets of a prepared data set occur in it, and its smallest counts.

    Args:
        data: the prepared data set.
        at_least: name of a count, such as ``rows_per_user``, to the minimum that the preparation guarantees.

    Raises:
        UserError: a check failed.
    """
    found = data.least()
    for what, least in at_least.items():
        if what not in found:
            raise UserError(f"{data.path.name}: no '{what}' is counted; there are {', '.join(found)}")
        if found[what] < least:
            told = what.replace("_", " ")
            raise UserError(
                f"{data.path}: {told}: {found[what]} at least, where the preparation leaves {least} at least; {_STALE}"
            )
    folder = data.path.parent
    for path in sorted(folder.glob("sensitive_asins_*.txt")):
        listed = pa.array(path.read_text(encoding="utf-8").split("\n")[:-1], pa.string())
        if len(unknown := listed.filter(pc.invert(pc.is_in(listed, data.items)))):
            raise UserError(f"{path.name}: item {unknown[0]} is not in {data.path.name}; {_STALE}")
    name = data.path.name.removesuffix("_merged.json").removesuffix(".inter")
    if strangers := data.strangers(sorted(folder.glob(f"{name}_unlearn_pairs_*"))):
        raise UserError(f"{strangers}; {_STALE}")
