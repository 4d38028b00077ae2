"""What every model is asked alike: fixed users, inputs, candidates and positives for each checkpoint."""

from dataclasses import dataclass, field

import numpy as np

from recbole.data import EvalRows, Ragged
from recbole.data.log import group_offsets
from recbole.evaluator.divergence import distances
from recbole.evaluator.exposure import forgotten_exposure, sensitive_exposure
from recbole.evaluator.scores import top_items
from recbole.evaluator.table import Table
from recbole.evaluator.utility import utility
from recbole.utils import stream

OTHERS = 1000
"""How many of the users who asked for nothing stand for all of them in distances and exposure."""


NOBODY = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Views:
    """The frozen questions of one checkpoint.

    Attributes:
        checkpoint: 0 to 3, or None when nothing has been forgotten.
        utility: view name to the test rows: ``all`` with the forgotten rows, ``current`` without them.
        shown: one row for each requesting user and each of a fixed sample of others, conditioned on ``current``.
        requesting: int64, the users who asked.
        forgotten: for each row of ``shown``, the items that this user asked to forget.
        sensitive: bool [n_items], the items of the sensitive list, or None.
        fake: int64, the fake users of a spam attack; none of them counts among the others.
    """

    checkpoint: int | None
    utility: dict[str, EvalRows]
    shown: EvalRows
    requesting: np.ndarray
    forgotten: Ragged
    sensitive: np.ndarray | None = None
    fake: np.ndarray = field(default_factory=lambda: NOBODY)

    def populations(self, rows):
        """Yield ``(name, bool [rows])`` for all, requesting and others; only all when nobody asked."""
        asked = np.isin(rows.entity, self.requesting)
        yield "all", np.ones(len(asked), dtype=bool)
        if len(self.requesting):
            yield "requesting", asked
            yield "others", ~asked & ~np.isin(rows.entity, self.fake)


def build_views(dataset, forgotten, checkpoint, sensitive=None, fake=NOBODY):
    """Fix the questions of a checkpoint.

    Args:
        dataset: the data, its own mask aside.
        forgotten: bool [len(log)], what has been forgotten by this checkpoint.
        checkpoint: its number, or None.
        sensitive: bool [n_items] or None.
        fake: int64, the fake users of a spam attack.
    """
    log = dataset.log
    everything, current = dataset.masked(np.zeros_like(forgotten)), dataset.masked(forgotten)
    requesting = np.unique(log.user[forgotten])
    others = np.setdiff1d(np.unique(log.user), np.concatenate([requesting, fake]))
    if len(requesting) and len(others) > OTHERS:
        others = np.sort(stream(dataset.config["seed"], "others").choice(others, OTHERS, replace=False))
    shown = current.exposure_rows(np.concatenate([requesting, others]))
    utility_rows = {"all": everything.eval_rows("test")}
    if forgotten.any():
        utility_rows["current"] = current.eval_rows("test")
    items = _forgotten_items(log, forgotten, shown.entity)
    return Views(checkpoint, utility_rows, shown, requesting, items, sensitive, fake)


def _forgotten_items(log, forgotten, entities):
    """Return each entity's forgotten items, each once."""
    n_items = len(log.vocabulary["item"])
    rank = np.full(len(log.vocabulary["user"]), -1)
    rank[entities] = np.arange(len(entities))
    rows = np.flatnonzero(forgotten)
    rows = rows[rank[log.user[rows]] >= 0]
    keys = np.unique(rank[log.user[rows]] * n_items + log.item[rows])
    return Ragged(keys % n_items, group_offsets(keys // n_items, len(entities)))


def evaluate(model, views, config, reference=None, utility_too=True, kind="base", algorithm=None):
    """Put a checkpoint's questions to a model.

    Args:
        model: any recommender.
        views: :class:`Views`.
        config: reads ``metrics``, ``topk``, ``eval_batch_size``.
        reference: ``(retrained model, its name)`` to measure the distance from, or None.
        utility_too: False to leave the utility rows out.
        kind: ``base``, ``retrained`` or ``unlearned``, for the column ``model``.
        algorithm: for the column of that name.

    Returns:
        Rows of the result table, a list of dictionaries.
    """
    table = Table(checkpoint=views.checkpoint, split="test", model=kind, algorithm=algorithm)
    if utility_too:
        for view, rows in views.utility.items():
            values = utility(model, rows, config)
            for population, chosen in views.populations(rows):
                for (metric, k), value in values.items():
                    about = {"view": view, "population": population, "masking": "retained"}
                    _add_mean(table, metric, value[chosen], k, n_skipped=rows.n_skipped, **about)
    _exposure(table, model, views, config)
    if reference is not None:
        for metric, value in distances(model, reference[0], views.shown, config["eval_batch_size"]).items():
            for population, chosen in views.populations(views.shown):
                k = 10 if metric == "jaccard" else None
                about = {"view": "current", "population": population, "masking": "all", "reference": reference[1]}
                _add_mean(table, metric, value[chosen], k, n_skipped=views.shown.n_skipped, **about)
    return table.rows


def _add_mean(table, metric, values, k, **columns):
    table.add(metric, np.mean(values) if len(values) else np.nan, k, n_rows=len(values), **columns)


def _exposure(table, model, views, config):
    """Add the exposure rows: sensitive items for everybody, forgotten items for those who asked."""
    ks, view = config["topk"], "current" if len(views.requesting) else "all"
    for masking in ("all", "retained"):
        if masking == "all" or len(views.shown.history.values):  # else the two rankings are one
            best = top_items(model, views.shown, max(ks), masking == "retained", config["eval_batch_size"])
        for population, chosen in views.populations(views.shown):
            about = {"view": view, "population": population, "masking": masking, "n_rows": int(chosen.sum())}
            for k in ks:
                found = {}
                if views.sensitive is not None:
                    found |= sensitive_exposure(best[chosen], views.sensitive, k)
                if population == "requesting":
                    found |= forgotten_exposure(
                        best[chosen], views.forgotten.take(np.flatnonzero(chosen)), model.n_items, k
                    )
                for metric, value in found.items():
                    table.add(metric, value, k, n_skipped=views.shown.n_skipped, **about)
