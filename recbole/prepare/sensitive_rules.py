"""Rules that decide which items are sensitive, read from ``dataset/<name>/sensitive.yaml``.

For each category of sensitive items, the file lists signals, and the minimum number of signals that an item must match
to belong to the category (1 by default)::

    health:
      min_signals: 2
      signals:
        title: {exact: [suicide, anxiety], relaxed: [mental health]}
        tag: {ids: [154395, 15345]}

A signal tests one field of an item, such as its title. It matches if the field contains one of the ``exact`` keywords
as whole words, or one of the ``relaxed`` keywords anywhere, or equals one of the ``ids``. Case is ignored. Each signal
counts at most once per item. The rules are those of ERASE (Lubitzsch, de Rijke and Schelter, SIGIR 2026, arXiv
2603.08341), unless a data set's README says otherwise.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from recbole.utils import UserError, suggest

_KINDS = ("exact", "relaxed", "ids")
_BEFORE, _AFTER = r"(?:^|[^\pL\pN_])", r"(?:$|[^\pL\pN_])"  # RE2's \b supports only ASCII letters


@dataclass(frozen=True)
class Signal:
    """A condition on one field of an item.

    Attributes:
        pattern: a regular expression (RE2) that must match some part of the field's text, in any case; None for a field
            of integers.
        ids: for a field of integers, the values that meet the condition.
    """

    pattern: str | None
    ids: tuple[int, ...]

    def found(self, values: pa.Array) -> np.ndarray:
        """Return for each value of the field whether it meets the condition, bool [n].

        Args:
            values: Arrow array [n] of strings or integers, or of lists of strings or integers. A list meets the
                condition if one of its elements does. A null never does.
        """
        if pa.types.is_list(values.type):
            parents = pc.list_parent_indices(values).to_numpy()
            return np.bincount(parents[self.found(values.flatten())], minlength=len(values)) > 0
        if self.pattern is None:
            hits = pc.is_in(values, pa.array(self.ids, values.type))
        else:
            hits = pc.match_substring_regex(values, self.pattern, ignore_case=True)
        return pc.fill_null(hits, False).to_numpy(zero_copy_only=False)


class SensitiveRules:
    """Finds sensitive items by the rules of a file.

    Items are tested in parts by `look`. Then `items` returns the sensitive ones among them.

    Attributes:
        path: the file with the rules.
        fields: the names of all fields that the rules test, sorted.
    """

    def __init__(self, path: Path) -> None:
        """Read the rules.

        Args:
            path: the YAML file.

        Raises:
            UserError: the file cannot be read, or does not have the form that the module's docstring shows.
        """
        self.path = path
        try:
            categories = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error
        except yaml.YAMLError as error:
            raise UserError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
        if not isinstance(categories, dict):
            raise UserError(f"{path}: expected a mapping from categories to signals")
        self._signals = {category: self._read(category, rule) for category, rule in categories.items()}
        self._least = {category: rule.get("min_signals", 1) for category, rule in categories.items()}
        self.fields = sorted({field for signals in self._signals.values() for field in signals})
        self._found: dict[str, dict[str, list[pa.Array]]] = {
            category: {field: [] for field in own} for category, own in self._signals.items()
        }

    def _read(self, category: str, rule: Any) -> dict[str, Signal]:
        signals = rule.get("signals") if isinstance(rule, dict) else None
        if not isinstance(signals, dict) or not signals:
            raise UserError(f"{self.path}: category '{category}' has no signals")
        for key in rule:
            if key not in ("min_signals", "signals"):
                raise UserError(
                    f"{self.path}: category '{category}': unknown key '{key}'{suggest(key, ['min_signals', 'signals'])}"
                )
        return {field: self._signal(f"{category}: {field}", words) for field, words in signals.items()}

    def _signal(self, where: str, words: Mapping[str, Any]) -> Signal:
        for kind, listed in words.items():
            if kind not in _KINDS:
                raise UserError(f"{self.path}: {where}: unknown key '{kind}'{suggest(kind, _KINDS)}")
            if not listed or not all(isinstance(word, int if kind == "ids" else str) for word in listed):
                wanted = "whole numbers" if kind == "ids" else "texts (put numbers, yes and no in quotes)"
                raise UserError(f"{self.path}: {where}: '{kind}' must be a list of {wanted}")
        exact = "|".join(map(re.escape, words.get("exact", [])))
        relaxed = "|".join(map(re.escape, words.get("relaxed", [])))
        pattern = "|".join(filter(None, [exact and f"{_BEFORE}(?:{exact}){_AFTER}", relaxed]))
        return Signal(pattern or None, tuple(words.get("ids", ())))

    def look(self, items: pa.Array, **fields: pa.Array) -> None:
        """Test n items, and store which signals they match.

        Args:
            items: Arrow array [n] of the items' ids (tokens); numbers are converted to strings. An item may occur
                several times, also in different calls.
            fields: dict from the name of a field to an Arrow array [n] of the items' values, of a type that
                `Signal.found` accepts. Signals on other fields are not tested in this call.
        """
        items = pc.cast(items, pa.string())
        for category, signals in self._signals.items():
            for field in signals.keys() & fields.keys():
                found = pa.array(signals[field].found(fields[field]))
                self._found[category][field].append(items.filter(found).unique())

    def items(self) -> dict[str, pa.Array]:
        """Return a dict from each category to the sensitive items among those tested so far (Arrow string array)."""
        return {category: self._enough(category) for category in self._signals}

    def _enough(self, category: str) -> pa.Array:
        """Return the distinct items that match at least ``min_signals`` signals of a category (Arrow string array)."""
        each = [pa.chunked_array(found, pa.string()).unique() for found in self._found[category].values()]
        counted = pa.chunked_array(each, pa.string()).value_counts()
        return counted.field("values").filter(pc.greater_equal(counted.field("counts"), self._least[category]))
