"""Attacks on people's attributes: who did best, in a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from recbole.report.tables import as_short_text, shown

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row
    from recbole.report.records import Record

AUC = "attack_auc"
HEADINGS = {AUC: "AUC", "attack_balanced_accuracy": "balanced accuracy", "attack_macro_f1": "macro F1"}
"""The metrics of attacks, and what their columns are called."""

CHOSEN = ("/worst", "/adaptive")
"""What ``population`` ends with where an attacker was chosen on people whom it knew."""

_KEY = ("model", "algorithm", "checkpoint", "attribute", "view", "population")


def as_table(rows: Iterable[Row]) -> str:
    """Return rows of attacks as a table: a line each model, view and attacker, and the AUC's interval."""
    return _table([({}, row) for row in rows])


def chosen(records: Mapping[str, Record]) -> str | None:
    """Return how the attackers did that chose by themselves, of several files as a table; None where there is none.

    Args:
        records: name to record, as :func:`~recbole.report.records.read_unlearned` returns them.
    """
    lines = [
        ({"file": name}, row)
        for name, record in records.items()
        for row in record["metrics"]
        if row["metric"] in HEADINGS and str(row["population"]).endswith(CHOSEN)
    ]
    return _table(lines) if lines else None


def _table(rows: Iterable[tuple[dict[str, str], Row]]) -> str:
    import pandas as pd

    lines: dict[tuple[object, ...], dict[str, object]] = {}
    for about, row in rows:
        said = about | {name: row["split" if name == "attribute" else name] for name in _KEY}
        line = lines.setdefault(tuple(said.values()), dict(said))
        line[HEADINGS[row["metric"]]] = row["value"]
        if row["metric"] == AUC:
            line["from, to (95 %)"] = f"{shown(row['low'])}, {shown(row['high'])}"
            line["people"] = row["n_people"]
    table = pd.DataFrame(list(lines.values()))
    return as_short_text(table, [name for name in ("file", *_KEY) if name in table])
