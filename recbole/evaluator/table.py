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

An evaluation row is one ranking. The results of attribute-inference attacks are rows of the table too; for them three
columns have another meaning.

- ``dataset``, ``model_class``, ``seed``: of the run.
- ``scenario``: the part of the file names that says what is forgotten, or None.
- ``settings``: the folder for hyper-parameters that are not the defaults, if there is one, and the first digits of the
  digest of all settings that determine the model. If the model's file was written by a version of this program whose
  results differ (``RESULTS_VERSION``), that version is added.
- ``model``: base (before any request); rebuilt (the base's parameters, but what the model derives from the data, such
  as a graph, is rebuilt without the forgotten interactions); unlearned; retrained; retrained_same_epoch (the retrained
  model's weights at the epoch that was selected for the base); monolithic (for comparison with an ensemble: one model
  retrained on all retained data); clean (trained without the spam); in attacks also untrained.
- ``checkpoint``: the point in the sequence of requests, 0 to 3, or None.
- ``split``: valid or test; for forgotten user-item pairs train or held_out. In attacks: the attacked user attribute.
- ``view``: the data from which the evaluation rows are made: all, current (without the forgotten interactions), or
  clean (without spam). In attacks: what the attacker reads of the model (``any``: the attacker chooses).
- ``population``: whose evaluation rows are averaged: all, requesting (users with a deletion request), or others. The
  clean view contains genuine users only. In attacks: protocol and attacker (``inside/trees``).
- ``masking``: which items are candidates: ``all`` (the whole catalogue) or ``retained`` (without the items of the
  user's history, of which forgotten interactions are no part).
- ``metric``, ``k``, ``value``: the metric in lower case, the list length (None for a metric without one), the value.
- ``low``, ``high``: ends of the mean's 95 % interval, or None.
- ``n_people``: the number of users (or sessions) that the value is computed from.
- ``n_rows``: the number of evaluation rows, relevant items or user-item pairs that the value is computed from.
- ``n_skipped``: the number of evaluation rows left out because forgetting leaves them without input or relevant item.
- ``minus``: the kind of model whose values were subtracted, if the row is a mean difference between two models over the
  same evaluation rows; else None.
- ``reference``: file name and SHA-256 of the model that a distance or a difference refers to.
- ``reference_twin``: whether the model in ``reference`` was trained exactly like the base except for the forgotten
  interactions: True, False, or ``unknown`` if its file does not store this.
"""


class Table:
    """A list of rows of the result table that share some column values, such as the model and the checkpoint.

    Args:
        context: column to value, for every row that does not set the column itself.

    Raises:
        ValueError: there is no such column.
    """

    def __init__(self, **context: Any) -> None:
        self.context = _columns(context)
        self.rows: list[Row] = []

    def add(self, metric: str, value: float, k: int | None = None, **columns: Any) -> None:
        """Append one row. A column that is not given has the value from the context, or None without one.

        Args:
            metric: name of the metric in lower case.
            value: value of the metric.
            k: list length; None for a metric without one.
            columns: values of further columns.

        Raises:
            ValueError: there is no such column.
        """
        given = self.context | _columns(columns) | {"metric": metric, "value": float(value), "k": k}
        self.rows.append({column: given.get(column) for column in COLUMNS})

    def extend(self, rows: Iterable[Row]) -> None:
        """Append copies of the given rows; where a column is None, the copy has the value from the context."""
        for row in rows:
            said = {column: value for column, value in row.items() if value is not None}
            self.rows.append(dict.fromkeys(COLUMNS) | self.context | _columns(said))


def _columns(given: dict[str, Any]) -> dict[str, Any]:
    """Return the given column values unchanged; raise a ValueError if a key is not a column of the result table."""
    unknown = set(given) - set(COLUMNS)
    if unknown:
        raise ValueError(f"not columns of the result table: {sorted(unknown)}")
    return given
