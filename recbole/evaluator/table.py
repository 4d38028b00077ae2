"""The one tidy table that every number goes into."""

COLUMNS = (
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
    "n_rows",
    "n_skipped",
    "reference",
)
"""The columns of a result row, in order.

``model`` is base, retrained, unlearned, or clean (never saw the spam); ``checkpoint`` 0 to 3 or None; ``split`` valid
or test; ``view`` says which data the question was put on (all of it, the current state, or clean of spam);
``population`` whose rows are averaged (all, requesting, others; all of the clean view is genuine); ``masking`` who may
be recommended (``all``: the whole catalogue; ``retained``: all but the history that the view retains); ``reference``
is, for a distance, the file and SHA-256 that it is a distance from.
"""


class Table:
    """Rows that share a context, such as the model and the checkpoint."""

    def __init__(self, **context):
        self.context = context
        self.rows = []

    def add(self, metric, value, k=None, **columns):
        """Append one row; what is not given is taken from the context, or ``None``."""
        given = self.context | columns | {"metric": metric, "value": float(value), "k": k}
        unknown = set(given) - set(COLUMNS)
        if unknown:
            raise ValueError(f"not columns of the result table: {sorted(unknown)}")
        self.rows.append({column: given.get(column) for column in COLUMNS})
