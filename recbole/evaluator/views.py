"""Views: the evaluation data of a checkpoint, fixed once so that all models are evaluated on the same rows.

A view consists of users, their inputs, the candidates and the relevant items.
"""

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
"""The size of the random sample of users without a deletion request, on which distances and exposure are measured."""

NOBODY: Ids = np.empty(0, dtype=np.int64)
"""An empty array of user ids."""


@dataclass(frozen=True)
class Views:
    """The evaluation data of one checkpoint, the same for every model that is evaluated on it.

    Attributes:
        checkpoint: 0 to 3, or None when nothing has been forgotten.
        utility: view name to the test rows: ``all`` computed from all data, ``current`` without the forgotten rows.
            ``current`` is missing when nothing has been forgotten.
        shown: one row per requesting user (a user with a deletion request) and per user in a fixed random sample of the
            others, with inputs as in ``current``.
        requesting: int64, ids of the requesting users.
        forgotten: for each row of ``shown``, the item ids that this user asked to forget.
        trained: bool, one per (row, item) pair in ``forgotten``: whether a log row with this pair was used in training,
            as an example or as part of an input history.
        sensitive: bool [n_items], the items on the sensitive list, or None without such a list.
        fake: int64, ids of the fake users in a spam attack, who do not count as others.
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
        """Yield ``(name, bool [rows])`` for all, requesting and others. Without requesting users, yield only all."""
        asked = np.isin(rows.entity, self.requesting)
        yield "all", np.ones(len(asked), dtype=bool)
        if len(self.requesting):
            yield "requesting", asked
            yield "others", ~asked & ~np.isin(rows.entity, self.fake)


@dataclass(frozen=True)
class TargetView:
    """The evaluation data about the items that a spam attack promotes. All rows belong to genuine users.

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
    """Build the evaluation data of a checkpoint.

    Args:
        dataset: the data. Its own mask of forgotten rows is ignored.
        forgotten: bool [len(log)], the log rows that are forgotten at this checkpoint.
        checkpoint: the checkpoint's number, 0 to 3, or None.
        seed: seed for sampling the other users.
        sensitive: bool [n_items], the items on the sensitive list, or None.
        fake: int64, ids of the fake users in a spam attack.
        asked: the test rows with nothing forgotten, if the caller has them already; None builds them. Views with the
            same object also share a model's cached lists.
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
    if not shown.restricted and not whole.restricted:  # all items are candidates in both
        shown = shown.resembling(whole, requesting)
    items, trained = _forgotten_items(log, forgotten, shown.entity)
    return Views(checkpoint, utility_rows, shown, requesting, items, trained, sensitive, fake)


def _forgotten_items(log: InteractionLog, forgotten: Mask, entities: Ids) -> tuple[Ragged, Mask]:
    """Return the forgotten item ids of each user, and whether a log row with that pair was used in training.

    Args:
        log: the interactions.
        forgotten: bool [len(log)].
        entities: int64 [n], user ids.

    Returns:
        n lists of distinct item ids, and bool, one per item in them.
    """
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
    """Return the columns ``n_people``, ``n_rows`` and ``n_skipped`` for a population (bool [rows])."""
    people = len(distinct(rows.entity[chosen]))
    return {"n_people": people, "n_rows": int(chosen.sum()), "n_skipped": rows.n_skipped}
