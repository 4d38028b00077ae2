"""The table over seeds as people read it: one of closeness and one of values, with the mean and interval in a cell."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from recbole.report.closeness import COUPLED, COUPLING, EXCESS, OTHER_SEED, SAME_EPOCH
from recbole.report.intervals import cell
from recbole.report.seeds import ABOUT, MINUS
from recbole.report.tables import as_short_text

CLOSENESS, VALUES = (COUPLED, SAME_EPOCH, EXCESS, COUPLING), ("value", *MINUS)
"""The quantities of either table, its columns."""

_MODELS = ("clean", "base", "rebuilt", "unlearned", "retrained", OTHER_SEED)
_OF_RUNS = ("algorithm", "settings")

_TITLES = {
    "distance": "Distances from retrained models, over seeds:",
    "measure": "What models show at the last checkpoint, over seeds:",
}

LEGEND = """\
Over seeds: mean [95 % interval by Student's t, from two seeds on], which takes the values of seeds for normal, and is
wide for few.
coupled: distance from the retrained model of the own seed. Low is evidence of closeness, high is none, and algorithms
that draw noise are not ranked by it.
coupled, same epoch: distance from the retraining at the epoch that was selected for the base, a diagnostic; given where
the two epochs differ by more than a fifth in some seed.
excess: the mean distance from the retrained models of other seeds, less that of the own retrained model from them. Zero
for perfect unlearning, below it where a model is nearer to them than a retrained one is, as one of fewer epochs can be.
Seeds share retrained models, so that its interval is a rough one.
retrained, other seed: how far retrained models of different seeds are apart, by the randomness of training alone.
coupling: 1 - base's distance from the retrained model of its seed over that from those of other seeds: how much of
training the two have in common. It is low, too, where forgetting moves more than that randomness does.
distances: 0 is the same. Jaccard and RBO (rank-biased overlap) are taken from 1; rank change: the mean |difference of
log2 ranks| of the forgotten items. requesting, others: of whose scores and lists.
minus base, minus retrained: paired, the difference within each seed."""


def tables(table: pd.DataFrame) -> list[str]:
    """Return the text of each table that has any rows.

    Args:
        table: of :class:`~recbole.report.seeds.OverSeeds`.
    """
    last = table.groupby([*ABOUT[:-1]], dropna=False)["checkpoint"].transform("max")
    of_closeness = table[table["quantity"].isin(CLOSENESS)].rename(columns={"measure": "distance"})
    of_values = table[table["quantity"].isin(VALUES) & (table["checkpoint"] == last)]
    found = {"distance": _told(of_closeness, "distance", CLOSENESS), "measure": _told(of_values, "measure", VALUES)}
    once = [*ABOUT, "seeds"]
    return [f"{_TITLES[what]}\n{as_short_text(told, once)}" for what, told in found.items() if len(told)]


def _told(table: pd.DataFrame, what: str, quantities: Sequence[str]) -> pd.DataFrame:
    """Return a row a model, with a column a quantity; what is of no algorithm stands there once."""
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
