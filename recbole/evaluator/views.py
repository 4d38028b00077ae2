"""What every model is asked alike: fixed users, inputs, candidates and positives for each checkpoint."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from recbole.data import Dataset, EvalRows, Ragged
from recbole.data.ids import distinct, held, without
from recbole.data.log import InteractionLog, group_offsets
from recbole.data.split import TRAIN
from recbole.evaluator.kinds import Ids, Mask
from recbole.utils import stream

OTHERS = 1000
"""How many of the users who asked for nothing stand for all of them in distances and exposure."""

NOBODY: Ids = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Views:
    """The frozen questions of one checkpoint.

    Attributes:
        checkpoint: 0 to 3, or None when nothing has been forgotten.
        utility: view name to the test rows: ``all`` with the forgotten rows, ``current`` without them.
        shown: one row for each requesting user and each of a fixed sample of others, conditioned on ``current``.
        requesting: int64, the users who asked.
        forgotten: for each row of ``shown``, the items that this user asked to forget.
        trained: bool, of each of these pairs, whether a row of it was trained on, or stood in histories then.
        sensitive: bool [n_items], the items of the sensitive list, or None.
        fake: int64, the fake users of a spam attack; none of them counts among the others.
    """

    checkpoint: int | None
    utility: dict[str, EvalRows]
    shown: EvalRows
    requesting: Ids
    forgotten: Ragged
    trained: Mask
    sensitive: Mask | None = None
    fake: Ids = field(default_factory=lambda: NOBODY)

    def populations(self, rows: EvalRows) -> Iterator[tuple[str, Mask]]:
        """Yield ``(name, bool [rows])`` for all, requesting and others; only all when nobody asked."""
        asked = np.isin(rows.entity, self.requesting)
        yield "all", np.ones(len(asked), dtype=bool)
        if len(self.requesting):
            yield "requesting", asked
            yield "others", ~asked & ~np.isin(rows.entity, self.fake)


@dataclass(frozen=True)
class TargetView:
    """The frozen questions about the items that a spam attack promotes; genuine users alone are asked.

    Attributes:
        rows: the test rows of the clean data.
        targets: int64, ids of the promoted items.
    """

    rows: EvalRows
    targets: Ids


def build_views(
    dataset: Dataset,
    forgotten: Mask,
    checkpoint: int | None,
    seed: int,
    sensitive: Mask | None = None,
    fake: Ids = NOBODY,
    asked: EvalRows | None = None,
) -> Views:
    """Fix the questions of a checkpoint.

    Args:
        dataset: the data, its own mask aside.
        forgotten: bool [len(log)], what has been forgotten by this checkpoint.
        checkpoint: its number, or None.
        seed: of the sample of others.
        sensitive: bool [n_items] or None.
        fake: int64, the fake users of a spam attack.
        asked: the test rows with nothing forgotten, where several views share them.
    """
    log, current = dataset.log, dataset.masked(forgotten)
    n_users = len(log.vocabulary["user"])
    requesting, everybody = distinct(log.user[forgotten], n_users), distinct(log.user, n_users)
    others = without(everybody, distinct(np.concatenate([requesting, fake])))
    if len(requesting) and len(others) > OTHERS:
        others = np.sort(stream(seed, "others").choice(others, OTHERS, replace=False))
    whole = dataset.masked(np.zeros_like(forgotten)).eval_rows("test") if asked is None else asked
    utility_rows = {"all": whole}
    if forgotten.any():
        utility_rows["current"] = current.eval_rows("test").resembling(whole, requesting)
    shown = current.exposure_rows(np.concatenate([requesting, others]))
    if not shown.restricted and not whole.restricted:  # else the candidates differ
        shown = shown.resembling(whole, requesting)
    items, trained = _forgotten_items(log, forgotten, shown.entity)
    return Views(checkpoint, utility_rows, shown, requesting, items, trained, sensitive, fake)


def _forgotten_items(log: InteractionLog, forgotten: Mask, entities: Ids) -> tuple[Ragged, Mask]:
    """Return each entity's forgotten items, each once, and of which of them training saw a row."""
    n_items = len(log.vocabulary["item"])
    rank = np.full(len(log.vocabulary["user"]), -1)
    rank[entities] = np.arange(len(entities))
    rows = np.flatnonzero(forgotten)
    rows = rows[rank[log.user[rows]] >= 0]
    every = rank[log.user[rows]] * n_items + log.item[rows]
    keys = distinct(every)
    trained = held(keys, distinct(every[log.split[rows] <= TRAIN]))
    return Ragged(keys % n_items, group_offsets(keys // n_items, len(entities))), trained


def counted(rows: EvalRows, chosen: Mask) -> dict[str, int]:
    """Return the columns that say how many rows and people a value is of: ``n_people``, ``n_rows``, ``n_skipped``."""
    people = len(distinct(rows.entity[chosen]))
    return {"n_people": people, "n_rows": int(chosen.sum()), "n_skipped": rows.n_skipped}
