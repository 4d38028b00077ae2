"""The result table: one row per value of a metric."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row

COLUMNS = (
    "dataset",
    "model_class",
    "seed",
    "scenario",
    "settings",
    "model",
    "algorithm",
    "checkpoint",
    "split",
    "view",
    "population",
    "masking",
    "metric",
    "k",
    "value",
    "low",
    "high",
    "n_people",
    "n_rows",
    "n_skipped",
    "minus",
    "reference",
    "reference_twin",
)
"""The columns of a result row, in order.

- ``dataset``, ``model_class``, ``seed``: of the run.
- ``scenario``: the part of the file names that says what is forgotten, or None.
- ``settings``: the settings folder, if any, and the first digits of the model's digest. If the row was written by
  another results version than this program's, the version is added.
- ``model``: base; rebuilt (the base's parameters, with what it derives from the data, such as a graph, rebuilt without
  the forgotten rows); unlearned; retrained; retrained_same_epoch (retrained up to the epoch that was selected for the
  base); monolithic (for comparison with an ensemble: one model retrained on all retained data); clean (trained without
  the spam). In attack rows it may also be untrained.
- ``checkpoint``: 0 to 3, or None.
- ``split``: valid or test; for forgotten pairs train or held_out; in attack rows the attribute.
- ``view``: the data state that the evaluation uses: all, current (forgotten rows removed), or clean (no spam). In
  attack rows it is what the attacker reads (``any``: the attacker's own choice).
- ``population``: whose rows are averaged: all, requesting (users with a deletion request), or others. The clean view
  has genuine users only. In attack rows it is protocol and attacker (``inside/trees``).
- ``masking``: which items are candidates: ``all`` (the whole catalogue) or ``retained`` (without the user's retained
  history).
- ``metric``, ``k``, ``value``: the metric, the list length (None for a metric without one), and the value.
- ``low``, ``high``: ends of the mean's 95 % interval, or None.
- ``n_people``, ``n_rows``: the number of users (or sessions), and of rows, that the value is computed from.
- ``n_skipped``: the number of evaluation rows left out because forgetting leaves them without input or relevant item.
- ``minus``: in a difference between two models, the model that was subtracted row by row, else None.
- ``reference``: file and SHA-256 of the model that a distance or a difference refers to.
- ``reference_twin``: whether that model was trained exactly like the base except for the forgotten rows: True, False,
  or ``unknown`` if its file does not store this.
"""


class Table:
    """Rows of the result table with shared column values, such as the model and the checkpoint.

    Args:
        context: values of columns that apply to every row unless the row sets them itself.

    Raises:
        ValueError: there is no such column.
    """

    def __init__(self, **context: Any) -> None:
        self.context = _columns(context)
        self.rows: list[Row] = []

    def add(self, metric: str, value: float, k: int | None = None, **columns: Any) -> None:
        """Append one row. Columns that are not given come from the context, or else are None.

        Raises:
            ValueError: there is no such column.
        """
        given = self.context | _columns(columns) | {"metric": metric, "value": float(value), "k": k}
        self.rows.append({column: given.get(column) for column in COLUMNS})

    def extend(self, rows: Iterable[Row]) -> None:
        """Append rows of another table, and set those of their columns that are None from the context."""
        for row in rows:
            said = {column: value for column, value in row.items() if value is not None}
            self.rows.append(dict.fromkeys(COLUMNS) | self.context | _columns(said))


def _columns(given: dict[str, Any]) -> dict[str, Any]:
    """Return ``given``; raise a ValueError if a key is not a column of the result table."""
    unknown = set(given) - set(COLUMNS)
    if unknown:
        raise ValueError(f"not columns of the result table: {sorted(unknown)}")
    return given
