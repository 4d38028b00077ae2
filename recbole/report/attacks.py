"""Tables of the results of attacks that infer a user attribute, such as gender, from a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from recbole.report.intervals import interval
from recbole.report.tables import as_short_text, shown

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row
    from recbole.report.records import Record

AUC = "attack_auc"
HEADINGS = {AUC: "AUC", "attack_balanced_accuracy": "balanced accuracy", "attack_macro_f1": "macro F1"}
"""Metric of an attack to the heading of its column."""

CHOSEN = ("/worst", "/adaptive")
"""How the column ``population`` ends in result rows of the selected attackers.

Both attackers were selected by their AUC on users whose attribute is known: ``worst`` has the highest AUC, ``adaptive``
the AUC farthest from 0.5.
"""

_KEY = ("model", "algorithm", "checkpoint", "attribute", "view", "population")


def as_table(rows: Iterable[Row]) -> str:
    """Return result rows of attacks as a table in text form, with the 95 % interval of the AUC.

    There is one line per model, checkpoint, attribute, view (what the attacker reads) and attacker.
    """
    return _table([({}, row) for row in rows])


def chosen(records: Mapping[str, Record]) -> str | None:
    """Return a table with the results of the selected attackers (see :data:`CHOSEN`) in several result files.

    Args:
        records: name of the file to its record, from :func:`~recbole.report.records.read_unlearned`.

    Returns:
        The table as text; None if no file has such results.
    """
    lines = [
        ({"file": name}, row)
        for name, record in records.items()
        for row in record["metrics"]
        if row["metric"] in HEADINGS and str(row["population"]).endswith(CHOSEN)
    ]
    return _table(lines) if lines else None


def _table(rows: Iterable[tuple[dict[str, str], Row]]) -> str:
    """Return result rows of attacks as a table in text form.

    Args:
        rows: pairs ``(about, row)``: a dict with columns to add to the line, such as the file, and the result row.
    """
    import pandas as pd

    lines: dict[tuple[object, ...], dict[str, object]] = {}
    for about, row in rows:
        said = about | {name: row["split" if name == "attribute" else name] for name in _KEY}
        line = lines.setdefault(tuple(said.values()), dict(said))
        line[HEADINGS[row["metric"]]] = row["value"]
        if row["metric"] == AUC:
            line["from, to (95 %)"] = ", ".join(map(shown, interval(row)))
            line["people"] = row["n_people"]
    table = pd.DataFrame(list(lines.values()))
    return as_short_text(table, [name for name in ("file", *_KEY) if name in table])
