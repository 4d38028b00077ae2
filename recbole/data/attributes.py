"""What is known of people beside their interactions: attributes from RecBole's ``.user`` file, in groups."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
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
_KEYS = ("column", "bins", "groups", "missing")


@dataclass(frozen=True)
class UserAttribute:
    """One attribute of people.

    Attributes:
        name: such as ``gender``.
        groups: what the groups are called: bins in ascending order, other groups by code point.
        label: int64 [n_users], the place of each person's group in ``groups``, -1 where it is not known (and for the
            padding): such people are neither protected nor attacked.
    """

    name: str
    groups: tuple[str, ...]
    label: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """The people whose group is known, int64 ids, ascending."""
        return np.flatnonzero(self.label >= 0)

    @property
    def sha256(self) -> str:
        """SHA-256 of name, groups and labels."""
        said = "\0".join((self.name, *self.groups)).encode()
        return hashlib.sha256(said + b"\0" + self.label.astype("<i8").tobytes()).hexdigest()

    def __str__(self) -> str:
        sizes = np.bincount(self.label[self.known], minlength=len(self.groups))
        return f"{self.name}: " + ", ".join(f"{group} {n}" for group, n in zip(self.groups, sizes, strict=True))


def read_attribute(config: Config, dataset: Dataset, name: str) -> UserAttribute:
    """Return an attribute of a data set's people.

    The setting ``attributes`` (of the data set's properties, or a configuration file) says how it is made: ``column``
    of the file, by default the attribute's name; ``bins``, ascending bounds of numbers, ``[35, 45]`` for three groups;
    ``groups``, names of groups to the values that are put together (others stay groups of their own); ``missing``,
    values that mean that nothing is known, beside nothing at all.

    Args:
        config: reads ``attributes``, ``data_path``, ``dataset``, ``USER_ID_FIELD`` and ``field_separator``.
        dataset: any :class:`~recbole.data.Dataset`, for its people's ids.
        name: of the attribute.

    Raises:
        UserError: there is no such file, column or attribute, a person stands twice in the file, a value does not fit
            the bins, or fewer than two groups, or too many, are left.
    """
    path = Path(config["data_path"]) / f"{config['dataset']}.user"
    if not path.is_file():
        raise UserError(f"there is no {path}: nothing is known of people's {name}")
    spec = _spec(config, name)
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
        raise UserError(f"{path}: {user} {dataset.id2token(dataset.uid_field, [twice])[0]} stands there twice")
    groups, codes = _grouped(_texts(table, column), spec, f"{path}: column '{column}'")
    label = np.full(dataset.n_users, NOT_KNOWN, dtype=np.int64)
    label[present] = codes[ids > 0]
    return _checked(name, groups, label)


def _spec(config: Config, name: str) -> Mapping[str, Any]:
    """Return how an attribute is made; an empty mapping where nothing is said."""
    said = config["attributes"]
    where = f"attributes ({config.where('attributes')})"
    if said is not None and not isinstance(said, dict):
        raise UserError(f"{where} should hold names of attributes, like {{age: {{bins: [35, 45]}}}}, not {said!r}")
    spec = (said or {}).get(name) or {}
    if not isinstance(spec, dict):
        raise UserError(f"{where}: {name} should hold {', '.join(_KEYS)}, not {spec!r}")
    for key in spec:
        if key not in _KEYS:
            raise UserError(f"{where}: {name} has the unknown key '{key}'{suggest(str(key), _KEYS)}")
    bins = spec.get("bins")
    if bins is not None and not (isinstance(bins, list) and bins and bins == sorted(set(bins))):
        raise UserError(f"{where}: bins of {name} should be ascending numbers, like [35, 45], not {bins!r}")
    if bins is not None and "groups" in spec:
        raise UserError(f"{where}: {name} has both bins and groups: leave one away")
    return spec


def _texts(table: AtomicTable, column: str) -> list[str]:
    """Return a column's values as text, empty where there is nothing."""
    values = table.table[column].to_pylist()
    return ["" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value) for value in values]


def _grouped(texts: list[str], spec: Mapping[str, Any], where: str) -> tuple[list[str], np.ndarray]:
    """Return the groups' names and the place among them of each text, int64 [n]; -1 where nothing is known."""
    missing = {"", *map(str, spec.get("missing", ()))}
    if spec.get("bins") is not None:
        return _binned(texts, spec["bins"], missing, where)
    of = {str(value): str(group) for group, values in spec.get("groups", {}).items() for value in values}
    named = [None if text in missing else of.get(text, text) for text in texts]
    groups = sorted({name for name in named if name is not None})
    place = {name: at for at, name in enumerate(groups)}
    return groups, np.array([NOT_KNOWN if name is None else place[name] for name in named], dtype=np.int64)


def _binned(texts: list[str], bins: list[float], missing: set[str], where: str) -> tuple[list[str], np.ndarray]:
    numbers = np.full(len(texts), np.nan)
    for at, text in enumerate(texts):
        if text not in missing:
            try:
                numbers[at] = float(text)
            except ValueError as error:
                raise UserError(f"{where}: '{text}' is not a number, and there are bins") from error
    bounds = ["-inf", *(f"{bound:g}" for bound in bins), "inf"]
    names = [f"{'(' if at == 0 else '['}{low},{bounds[at + 1]})" for at, low in enumerate(bounds[:-1])]
    return names, np.where(np.isnan(numbers), NOT_KNOWN, np.searchsorted(bins, numbers, side="right"))


def _checked(name: str, groups: list[str], label: np.ndarray) -> UserAttribute:
    """Return the attribute without the groups that nobody of the data is in."""
    sizes = np.bincount(label[label >= 0], minlength=len(groups))
    kept = np.flatnonzero(sizes)
    if len(kept) < 2:
        raise UserError(f"attribute {name}: the data's people are in {len(kept)} group(s), and two are needed")
    if len(kept) > MOST_GROUPS:
        raise UserError(
            f"attribute {name}: {len(kept)} groups are more than {MOST_GROUPS}: put some together, by bins or groups "
            "under 'attributes' in a configuration file"
        )
    place = np.full(len(groups) + 1, NOT_KNOWN, dtype=np.int64)  # the last for those not known
    place[kept] = np.arange(len(kept))
    return UserAttribute(name, tuple(groups[at] for at in kept), place[label])
