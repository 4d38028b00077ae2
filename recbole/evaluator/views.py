"""Views: the evaluation data of a checkpoint, built once so that all models are evaluated on the same data.

A checkpoint is one of four points in the sequence of deletion requests, numbered 0 to 3. A view consists of evaluation
rows: for each ranking the user, the input, the candidates and the relevant items.
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
"""The largest number of users without a deletion request that are sampled to measure distances between models, and how
often models recommend sensitive items."""

NOBODY: Ids = np.empty(0, dtype=np.int64)
"""An empty array of user ids."""


@dataclass(frozen=True)
class Views:
    """The evaluation data of one checkpoint, the same for every model that is evaluated on it.

    Attributes:
        checkpoint: number of the checkpoint, 0 to 3; None when nothing has been forgotten.
        utility: the test rows from which utility metrics are computed, in up to two variants: ``all`` is made of all
            data; ``current`` is made of the data without the forgotten interactions, and is missing when nothing has
            been forgotten.
        shown: the rows whose lists are searched for forgotten items: one per requesting user (with a deletion request)
            and per other user in a fixed random sample; if there are no requesting users, one row for every user.
            Inputs are without the forgotten interactions. Users without enough data for a ranking have no row.
        requesting: int64, ids of the requesting users.
        forgotten: for each row of ``shown``, the item ids that this user asked to forget.
        trained: bool, one value per item in ``forgotten``: whether an interaction of this user with this item was used
            in training, as a target or as part of an input history.
        sensitive: bool [n_items], True for the items on the sensitive list; None without a sensitive list.
        fake: int64, ids of the fake users of a spam attack; they are not counted as other users.
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
        """Yield the groups of users whose rows are averaged: ``(name, bool [rows])``, True for rows of the group.

        The names are ``all``, ``requesting`` (users with a deletion request) and ``others`` (genuine users without
        one). Without requesting users only ``all`` is yielded.
        """
        asked = np.isin(rows.entity, self.requesting)
        yield "all", np.ones(len(asked), dtype=bool)
        if len(self.requesting):
            yield "requesting", asked
            yield "others", ~asked & ~np.isin(rows.entity, self.fake)


@dataclass(frozen=True)
class TargetView:
    """The evaluation data about the items that a spam attack promotes. All rows belong to genuine users.

    Attributes:
        rows: the test rows of the clean data, which contain no interactions of the attack.
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
        dataset: the data. Which rows it marks as forgotten does not matter.
        forgotten: bool [len(log)], True for the interactions (log rows) that are forgotten at this checkpoint.
        checkpoint: number of the checkpoint, 0 to 3; None when nothing has been forgotten.
        seed: seed for sampling users without a deletion request.
        sensitive: bool [n_items], True for the items on the sensitive list; None without a sensitive list.
        fake: int64, ids of the fake users of a spam attack.
        asked: the test rows with nothing forgotten; None builds them here. If the views of several checkpoints get the
            same object, the lists that a model recommends on these rows are computed only once.
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
    """Return which items each user asked to forget, and which of them the user had in the training data.

    Args:
        log: the interactions.
        forgotten: bool [len(log)], True for forgotten interactions.
        entities: int64 [n], user ids, all different.

    Returns:
        Two values: for each of the n users the distinct ids of the forgotten items, ascending; and bool, one value per
        item in these lists, whether a forgotten interaction of the user with the item was used in training (as a target
        or in an input history).
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
    """Return the columns ``n_people``, ``n_rows`` and ``n_skipped`` of the result table for a group of users.

    Args:
        rows: the evaluation rows.
        chosen: bool [rows], True for the rows of the group.

    Returns:
        The numbers of users and of rows in the group, and the number of evaluation rows of all users that were left out
        because forgetting left no input or no relevant item.
    """
    people = len(distinct(rows.entity[chosen]))
    return {"n_people": people, "n_rows": int(chosen.sum()), "n_skipped": rows.n_skipped}
