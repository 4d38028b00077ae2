"""The one tidy table that every number goes into."""

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

``dataset``, ``model_class`` and ``seed`` are the run's; ``scenario`` is the part of the file names that says what is
forgotten, or None; ``settings`` is the settings folder, if any, and the first digits of the model's digest (and the
version of the results where that is another than this program's). ``model`` is base, rebuilt (base, what it derives
from the data made anew on the mask, no step), unlearned, retrained, retrained_same_epoch (the retraining at the epoch
that was selected for the base), monolithic (beside an ensemble, the retrained model of all data), or clean (never saw
the spam); ``checkpoint`` 0 to 3 or None; ``split`` valid or test
and, of forgotten pairs, train or held_out; ``view`` says which data the question was put on (all of it, the current
state, or clean of spam); ``population`` whose rows are averaged (all, requesting, others; all of the clean view is
genuine); ``masking`` who may be recommended (``all``: the whole catalogue; ``retained``: all but the history that the
view retains). ``n_people`` counts the people (or sessions) among the ``n_rows`` rows. ``low`` and ``high`` are the
ends of a mean's 95 % interval, None without. ``minus`` is None but in paired differences, where it names the model
that was subtracted row by row. ``reference`` is, for a distance or such a difference, the file and SHA-256 that it is
from; ``reference_twin`` whether that model differs from the base in its mask alone: True, False, or ``unknown`` for
files that do not say what made them.
"""


class Table:
    """Rows that share a context, such as the model and the checkpoint.

    Args:
        context: columns that rows have unless they say otherwise.

    Raises:
        ValueError: when there is no such column.
    """

    def __init__(self, **context: Any) -> None:
        self.context = _columns(context)
        self.rows: list[Row] = []

    def add(self, metric: str, value: float, k: int | None = None, **columns: Any) -> None:
        """Append one row; what is not given is taken from the context, or ``None``.

        Raises:
            ValueError: when there is no such column.
        """
        given = self.context | _columns(columns) | {"metric": metric, "value": float(value), "k": k}
        self.rows.append({column: given.get(column) for column in COLUMNS})

    def extend(self, rows: Iterable[Row]) -> None:
        """Append rows of another table; what they leave open is taken from the context."""
        for row in rows:
            said = {column: value for column, value in row.items() if value is not None}
            self.rows.append(dict.fromkeys(COLUMNS) | self.context | _columns(said))


def _columns(given: dict[str, Any]) -> dict[str, Any]:
    unknown = set(given) - set(COLUMNS)
    if unknown:
        raise ValueError(f"not columns of the result table: {sorted(unknown)}")
    return given
