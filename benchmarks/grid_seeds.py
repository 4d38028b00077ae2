"""The second table of `grid.py`: distances between unlearned and retrained models, over seeds."""

import pandas as pd

from recbole.report.closeness import COUPLED, COUPLING, EXCESS, SAME_EPOCH
from recbole.report.intervals import cell
from recbole.report.records import completed
from recbole.report.seeds import over_seeds

MEASURES = ("JS requesting", "JS others", "1 - Jaccard@10 requesting", "rank change requesting")
"""The distances in the table."""

_QUANTITIES = (COUPLED, SAME_EPOCH, EXCESS, COUPLING)


def seeds_table(found, last):
    """Return the distances from retrained models at a checkpoint, a data frame with a row per cell, distance and model.

    It has no row if retrained models of only one seed are known.

    Args:
        found: (cell, name of the run) to a list with one record per seed.
        last: index of the checkpoint.
    """
    lines = []
    for (of, name), records in found.items():
        over = over_seeds(map(completed, records))
        if over is None:
            continue
        known = over.table[(over.table["checkpoint"] == last) & over.table["quantity"].isin(_QUANTITIES)]
        for measure in MEASURES:
            for model, some in known[known["measure"] == measure].groupby("model", sort=False):
                numbers = zip(some["quantity"], some["mean"], some["low"], some["high"], strict=True)
                cells = dict.fromkeys(_QUANTITIES, "") | {quantity: cell(*three) for quantity, *three in numbers}
                called = name if model == "unlearned" else model
                lines.append({"cell": of, "distance": measure, "": called, "seeds": some["seeds"].max()} | cells)
    # the lines of base and retrained models occur in the records of all algorithms, and are kept once
    columns = ["cell", "distance", "", "seeds", *_QUANTITIES]
    table = pd.DataFrame(lines, columns=columns).drop_duplicates(["cell", "distance", ""])
    return table.sort_values(["cell", "distance"], kind="stable", key=_in_order)


def _in_order(column):
    """Return the sort keys of a column (a series): each value's position in the order of first appearance."""
    return column.map({value: at for at, value in enumerate(column.unique())})
