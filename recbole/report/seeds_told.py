"""Formats the table over seeds for printing, as a table of distances and one of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from recbole.report.closeness import COUPLED, COUPLING, EXCESS, OTHER_SEED, SAME_EPOCH
from recbole.report.intervals import cell
from recbole.report.seeds import ABOUT, MINUS
from recbole.report.tables import as_short_text

CLOSENESS, VALUES = (COUPLED, SAME_EPOCH, EXCESS, COUPLING), ("value", *MINUS)
"""The columns of the two printed tables: those of distances between models, and those of metrics."""

_MODELS = ("clean", "base", "rebuilt", "unlearned", "retrained", OTHER_SEED)
_OF_RUNS = ("algorithm", "settings")

_TITLES = {
    "distance": "Distances from retrained models, over seeds:",
    "measure": "Metrics at the last checkpoint, over seeds:",
}

LEGEND = """\
Cells: mean over seeds [95 % interval by Student's t, with at least two seeds]. The interval assumes normal values and
is wide for few seeds.
coupled: distance from the retrained model with the same seed. A low value shows closeness, but a high one does not show
the opposite. Algorithms that draw noise should not be ranked by it.
coupled, same epoch: distance from the retrained model's weights at the base's selected epoch, for diagnosis; given if
the selected epochs of base and retrained differ by more than a fifth with some seed.
excess: mean distance from retrained models with other seeds, minus the mean distance of the retrained model with the
same seed from them. Zero for perfect unlearning. It can be negative, for example after fewer epochs. Its interval is
approximate, because seeds share retrained models.
retrained, other seed: distance between retrained models with different seeds, from the randomness of training alone.
coupling: 1 - distance(base, retrained with its seed) / mean distance(base, retrained with other seeds). It shows how
much of training's randomness base and retrained share. It is also low if forgetting changes more than randomness does.
distances: 0 means equal. For Jaccard and RBO (rank-biased overlap) the distance is 1 - value. rank change: mean
|difference of log2 ranks| of the forgotten items. requesting, others: whose scores and lists are compared.
minus base, minus retrained: paired difference within each seed."""


def tables(table: pd.DataFrame) -> list[str]:
    """Return the table over seeds as text: a table of distances at all checkpoints, and one of metrics at the last.

    Args:
        table: the table of an :class:`~recbole.report.seeds.OverSeeds`.

    Returns:
        One text per table; a table without rows is left out.
    """
    last = table.groupby([*ABOUT[:-1]], dropna=False)["checkpoint"].transform("max")
    of_closeness = table[table["quantity"].isin(CLOSENESS)].rename(columns={"measure": "distance"})
    of_values = table[table["quantity"].isin(VALUES) & (table["checkpoint"] == last)]
    found = {"distance": _told(of_closeness, "distance", CLOSENESS), "measure": _told(of_values, "measure", VALUES)}
    once = [*ABOUT, "seeds"]
    return [f"{_TITLES[what]}\n{as_short_text(told, once)}" for what, told in found.items() if len(told)]


def _told(table: pd.DataFrame, what: str, quantities: Sequence[str]) -> pd.DataFrame:
    """Return a table for printing, with one row per model and distance (or metric) and one column per quantity.

    Models other than unlearned ones do not depend on the unlearning algorithm, so they are listed once.

    Args:
        table: rows with the columns :data:`~recbole.report.seeds.COLUMNS`, one per quantity, with ``measure`` renamed
            to ``what``.
        what: ``distance`` or ``measure``, the column with the name of the distance or metric.
        quantities: the quantities that become columns, such as ``coupled`` or ``minus base``.
    """
    key = [*ABOUT, what, "model"]
    numbers = zip(table["mean"], table["low"], table["high"], strict=True)
    cells = table.assign(cell=[cell(*three) for three in numbers])
    rows = []
    for about, some in cells.groupby(key, sort=False, dropna=False):
        row = dict(zip(key, about, strict=True)) | {"seeds": some["seeds"].max()}
        rows.append(row | dict(zip(some["quantity"], some["cell"], strict=True)))
    told = pd.DataFrame(rows, columns=[*key, "seeds", *quantities]).astype(object).fillna("")
    if len(told.drop_duplicates([*_OF_RUNS])) > 1:
        told.loc[told["model"] != "unlearned", [*_OF_RUNS]] = ""
        told = told.drop_duplicates()
    order = {name: {value: at for at, value in enumerate(dict.fromkeys(told[name]))} for name in key}
    order["model"] = {name: at for at, name in enumerate(_MODELS)}
    by = [name for name in key if name not in _OF_RUNS]
    places = pd.DataFrame({name: told[name].map(order[name]) for name in by}, index=told.index)
    return told.loc[places.sort_values(by, kind="stable").index]
