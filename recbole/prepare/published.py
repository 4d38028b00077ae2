"""The published sizes of a data set (numbers of users, items, ...), read from ``dataset/<name>/published.yaml``.

Such a file has up to three sections::

    source:                     # counts of the raw files, before any filter
      interactions: 20000263
      users: 7.0M               # rounded: counts from 6,950,000 to 7,050,000 agree
      published: where the figures are from
    prepared:                   # counts of the files that the preparation writes
      users: 19435
      tolerance: 0.05           # relative: counts may differ by 5 % from the figures of this section
      published: where the figures are from
    at_least:                   # minima that the preparation guarantees for any raw files
      rows_per_user: 5
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from recbole.utils import UserError

SECTIONS = ("source", "prepared", "at_least")
_ROUNDED = re.compile(r"([0-9]+)(?:\.([0-9]+))?([KM])")
_UNITS = {"K": 1_000, "M": 1_000_000}
_WORDS = ("published", "tolerance", "reason")


@dataclass(frozen=True)
class Figure:
    """A published number, for example of users.

    Attributes:
        value: the number.
        within: the largest difference with which a counted number still agrees with the published one.
    """

    value: int
    within: float = 0

    def agrees(self, count: int) -> bool:
        """Return whether a counted number differs from the published one by at most :attr:`within`."""
        return abs(count - self.value) <= self.within

    def __str__(self) -> str:
        return f"{'about ' if self.within else ''}{self.value:,}"


@dataclass(frozen=True)
class Section:
    """The published numbers of one stage of the data: of the raw files, or of the prepared files.

    Attributes:
        figures: dict from the name of what was counted, such as ``users``, to the published number.
        origin: where the numbers are published; empty if unknown.
        reason: a likely reason if other numbers are counted, for the message; empty if none is known.
    """

    figures: dict[str, Figure] = field(default_factory=dict)
    origin: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Published:
    """The content of a ``published.yaml`` file, whose format the module's docstring shows.

    Attributes:
        source: the published numbers of the raw files, before any filter.
        prepared: the published numbers of the files that the preparation writes.
        at_least: what the preparation guarantees: dict from the name of a property, such as ``rows_per_user`` (the
            smallest number of interactions of a user), to its minimum.
    """

    source: Section
    prepared: Section
    at_least: dict[str, int]


def read_published(path: Path) -> Published:
    """Read a ``published.yaml`` file. If it does not exist, return empty sections.

    Raises:
        UserError: the file cannot be read or is malformed.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.is_file() else {}
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict) or not all(isinstance(own, dict) for own in found.values()):
        raise UserError(f"{path}: expected the sections {', '.join(SECTIONS)}")
    if unknown := sorted(found.keys() - set(SECTIONS)):
        raise UserError(f"{path}: unknown section '{unknown[0]}'; there are {', '.join(SECTIONS)}")
    source, prepared = (_section(path, found.get(name, {})) for name in SECTIONS[:2])
    return Published(
        source, prepared, {key: _figure(path, key, n).value for key, n in found.get("at_least", {}).items()}
    )


def _section(path: Path, values: Mapping[str, Any]) -> Section:
    tolerance = values.get("tolerance", 0)
    if not isinstance(tolerance, int | float) or tolerance < 0:
        raise UserError(f"{path}: 'tolerance' is {tolerance}, expected a share such as 0.05")
    figures = {key: _figure(path, key, value, tolerance) for key, value in values.items() if key not in _WORDS}
    return Section(figures, str(values.get("published", "")), str(values.get("reason", "")))


def _figure(path: Path, key: str, value: Any, tolerance: float = 0) -> Figure:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Figure(value, value * tolerance)
    if rounded := _ROUNDED.fullmatch(str(value)):
        whole, digits, unit = rounded[1], rounded[2] or "", _UNITS[rounded[3]]
        last = unit // 10 ** len(digits)
        count = int(whole + digits) * last
        return Figure(count, max(last / 2, count * tolerance))
    raise UserError(f"{path}: '{key}' is {value!r}, expected a whole number, or a rounded one such as 14.3M or 603.2K")
