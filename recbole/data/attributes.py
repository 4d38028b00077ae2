"""User attributes such as gender or age, read from RecBole's ``.user`` file and divided into groups."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole.data.atomic import AtomicTable, read_atomic
from recbole.utils import UserError, suggest

if TYPE_CHECKING:
    from recbole.config import Config
    from recbole.data.dataset import Dataset

NOT_KNOWN = -1
MOST_GROUPS = 32


@dataclass(frozen=True)
class UserAttribute:
    """One attribute of all users of a data set, such as their gender or age group.

    Attributes:
        name: the attribute's name, such as ``gender``.
        groups: names of the groups. Intervals of numbers are in ascending order, other groups sorted by code point.
        label: int64 [n_users], for each user id the index of the user's group in ``groups``; -1 for the padding and for
            users whose group is unknown. Attribute unlearning and inference attacks leave out users with -1.
    """

    name: str
    groups: tuple[str, ...]
    label: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Ids of the users whose group is known, int64, ascending."""
        return np.flatnonzero(self.label >= 0)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the name, the groups and the labels, as 64 hexadecimal digits."""
        text = "\0".join((self.name, *self.groups)).encode()
        return hashlib.sha256(text + b"\0" + self.label.astype("<i8").tobytes()).hexdigest()

    def __str__(self) -> str:
        sizes = np.bincount(self.label[self.known], minlength=len(self.groups))
        return f"{self.name}: " + ", ".join(f"{group} {n}" for group, n in zip(self.groups, sizes, strict=True))


def read_attribute(config: Config, dataset: Dataset, name: str) -> UserAttribute:
    """Read an attribute of the data set's users from ``<dataset>.user``.

    The setting ``attributes`` maps an attribute's name to a dictionary with these optional keys. ``column`` is the
    file's column (by default the attribute's name). ``bins`` are ascending bounds that divide numbers into groups:
    ``[35, 45]`` makes three (below 35, from 35 to below 45, from 45). ``groups`` maps the name of a group to the list
    of values that it unites; every other value is a group of its own. ``missing`` lists values that mean "unknown"; an
    empty value always means this. The form of the setting was checked by
    :func:`~recbole.config.user_attributes.checked_attributes`.

    Args:
        config: reads ``attributes``, ``data_path``, ``dataset``, ``USER_ID_FIELD`` and ``field_separator``.
        dataset: the :class:`~recbole.data.Dataset` whose user ids the labels are indexed by.
        name: the attribute's name.

    Raises:
        UserError: the file or the column is missing, a user appears twice in the file, a value is not a number although
            there are bins, or fewer than two or more than 32 groups have users.
    """
    path = Path(config["data_path"]) / f"{config['dataset']}.user"
    if not path.is_file():
        raise UserError(f"cannot read the users' attribute {name}: there is no file {path}")
    spec = (config["attributes"] or {}).get(name, {})
    table = read_atomic(path, separator=config["field_separator"])
    column, user = spec.get("column", name), config["USER_ID_FIELD"]
    for wanted, of in ((column, f"attribute {name}"), (user, "USER_ID_FIELD")):
        if wanted not in table.types:
            known = {*table.types, *(config["attributes"] or {})} - {user}
            raise UserError(f"{of}: {path} has no column '{wanted}'{suggest(wanted, known)}")
    ids = dataset.log.vocabulary["user"].ids(_texts(table, user))
    ids = np.where(ids > 0, ids, NOT_KNOWN)
    present = ids[ids > 0]
    if len(np.unique(present)) < len(present):
        twice = int(np.argmax(np.bincount(present) > 1))
        raise UserError(f"{path}: {user} {dataset.id2token(dataset.uid_field, [twice])[0]} appears twice")
    groups, codes = _grouped(_texts(table, column), spec, f"{path}: column '{column}'")
    label = np.full(dataset.n_users, NOT_KNOWN, dtype=np.int64)
    label[present] = codes[ids > 0]
    return _checked(name, groups, label)


def _texts(table: AtomicTable, column: str) -> list[str]:
    """Return a column's values as strings; a missing value is the empty string."""
    values = table.table[column].to_pylist()
    return ["" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value) for value in values]


def _grouped(texts: list[str], spec: Mapping[str, Any], where: str) -> tuple[list[str], np.ndarray]:
    """Return the groups' names and, for each text, the index of its group (int64 [n], -1 if unknown).

    Args:
        texts: the attribute's value for each user in the file.
        spec: the attribute's settings, see :func:`read_attribute`.
        where: the file and the column, for messages.
    """
    missing = {"", *map(str, spec.get("missing", ()))}
    if "bins" in spec:
        return _binned(texts, spec["bins"], missing, where)
    of = {str(value): str(group) for group, values in spec.get("groups", {}).items() for value in values}
    named = [None if text in missing else of.get(text, text) for text in texts]
    groups = sorted({name for name in named if name is not None})
    place = {name: at for at, name in enumerate(groups)}
    return groups, np.array([NOT_KNOWN if name is None else place[name] for name in named], dtype=np.int64)


def _binned(texts: list[str], bins: list[float], missing: set[str], where: str) -> tuple[list[str], np.ndarray]:
    """Return the same as :func:`_grouped`, for numbers whose groups are the intervals between the bounds ``bins``."""
    numbers = np.full(len(texts), np.nan)
    for at, text in enumerate(texts):
        if text not in missing:
            try:
                numbers[at] = float(text)
            except ValueError as error:
                raise UserError(f"{where}: '{text}' is not a number, but the attribute has bins") from error
    bounds = ["-inf", *(f"{bound:g}" for bound in bins), "inf"]
    names = [f"{'(' if at == 0 else '['}{low},{bounds[at + 1]})" for at, low in enumerate(bounds[:-1])]
    return names, np.where(np.isnan(numbers), NOT_KNOWN, np.searchsorted(bins, numbers, side="right"))


def _checked(name: str, groups: list[str], label: np.ndarray) -> UserAttribute:
    """Return the attribute without the groups that have no users.

    Raises:
        UserError: fewer than two or more than 32 groups have users.
    """
    sizes = np.bincount(label[label >= 0], minlength=len(groups))
    kept = np.flatnonzero(sizes)
    if len(kept) < 2:
        raise UserError(f"attribute {name}: all users belong to {len(kept)} group(s), but at least two are needed")
    if len(kept) > MOST_GROUPS:
        raise UserError(
            f"attribute {name}: there are {len(kept)} groups, at most {MOST_GROUPS} are allowed: merge some with "
            "bins or groups under 'attributes' in a configuration file"
        )
    place = np.full(len(groups) + 1, NOT_KNOWN, dtype=np.int64)  # the last element maps unknown, -1, to itself
    place[kept] = np.arange(len(kept))
    return UserAttribute(name, tuple(groups[at] for at in kept), place[label])
