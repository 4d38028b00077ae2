"""How many sensitive and forgotten items a model still recommends."""

import numpy as np

from recbole.data import EvalRows, Ragged
from recbole.evaluator.asked import Asked
from recbole.evaluator.averages import add_means
from recbole.evaluator.kinds import Floats, Ids, Mask, Recommender, Reference, Row
from recbole.evaluator.pairs import Key
from recbole.evaluator.probe import Probe
from recbole.evaluator.scores import UNKNOWN, member
from recbole.evaluator.settings import EvalSettings
from recbole.evaluator.table import Table
from recbole.evaluator.views import Views, counted


class Exposure(Probe[Views]):
    """Sensitive items in all users' lists, and forgotten items in the lists of the users who asked to forget them.

    ERASE's sensitive-item metrics are ``pct_users_with_sensitive`` (the main one: per cent of rows with at least one
    sensitive item), ``avg_sensitive_per_user``, ``min_...``, ``max_...`` and ``total_sensitive_in_topk``. The metrics
    for forgotten items are the same without the total, with ``forgotten`` in their names, and ``recall_of_forgotten``,
    the mean share of a user's forgotten items that are recommended. Percentages and means have 95 % intervals. For
    requesting users, the differences from the reference are added.
    """

    name = "exposure"

    def ask(
        self, model: Recommender, view: Views, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return one row per masking, population, metric and list length.

        With ``masking`` "all" all items are candidates; with "retained" the items in the retained history are
        excluded.
        """
        shown = view.shown
        data = "current" if len(view.requesting) else "all"
        about = {"split": "test", "view": data, "n_skipped": shown.n_skipped}
        populations = dict(view.populations(shown))
        models = [Asked.of(model)] if reference is None else [Asked.of(model), Asked.of(reference.model)]
        found: list[Row] = []
        for masking in ("all", "retained"):
            masked = masking == "retained"
            best = [one.lists(shown, max(settings.topk), masked, settings.batch_size) for one in models]
            table = Table(checkpoint=view.checkpoint, masking=masking, **about)
            if view.sensitive is not None:
                numbers = [{k: sensitive_shown(lists, view.sensitive, k) for k in settings.topk} for lists in best]
                means = [_means("sensitive", number) for number in numbers]
                _add(table, "sensitive", numbers[0], means, reference, shown, populations)
            if len(view.requesting):
                sets, n_items = view.forgotten, model.n_items
                numbers = [{k: forgotten_shown(lists, sets, n_items, k) for k in settings.topk} for lists in best]
                means = [_means("forgotten", number, sets.sizes()) for number in numbers]
                requesting = {"requesting": populations["requesting"]}
                _add(table, "forgotten", numbers[0], means, reference, shown, requesting)
            found += sorted(table.rows, key=lambda row: settings.topk.index(row["k"]))
        return found


def _means(what: str, numbers: dict[int, Floats], out_of: Ids | None = None) -> dict[Key, Floats]:
    """Return the per-row values that are averaged, float64 [rows] each, by metric and list length.

    Args:
        what: ``sensitive`` or ``forgotten``, part of the metrics' names.
        numbers: list length to the number of such items in each row's list, float64 [rows].
        out_of: int64 [rows], the number of items that recall is relative to; None computes no recall.
    """
    means: dict[Key, Floats] = {}
    for k, number in numbers.items():
        means |= {(f"pct_users_with_{what}", k): 100.0 * np.sign(number), (f"avg_{what}_per_user", k): number}
        if out_of is not None:
            means[f"recall_of_{what}", k] = number / np.maximum(out_of, 1)
    return means


def _add(
    table: Table,
    what: str,
    numbers: dict[int, Floats],
    means: list[dict[Key, Floats]],
    reference: Reference | None,
    rows: EvalRows,
    populations: dict[str, Mask],
) -> None:
    """Add table rows for counts of recommended items: mean with interval, minimum, maximum and, if sensitive, total.

    Args:
        table: the table to add to.
        what: ``sensitive`` or ``forgotten``.
        numbers: list length to the number of such items in each row's list, float64 [rows].
        means: :func:`_means` for the model and, if there is a reference, for the reference.
        reference: the reference model, or None.
        rows: the evaluation rows.
        populations: population name to bool [rows].
    """
    others = None if reference is None else (means[1], reference)
    add_means(table, means[0], rows.entity, populations, others, compared=["requesting"])
    for population, chosen in populations.items():
        about = {"population": population, **counted(rows, chosen)}
        for k, number in numbers.items():
            some = number[chosen]
            for name, end in (("min", np.min), ("max", np.max)):
                table.add(f"{name}_{what}_per_user", float(end(some)) if len(some) else float("nan"), k, **about)
            if what == "sensitive":
                table.add("total_sensitive_in_topk", float(some.sum()), k, **about)


def sensitive_shown(best: Ids, sensitive: Mask, k: int) -> Floats:
    """Count the sensitive items in each top-``k`` list, float64 [rows]; NaN for a row with a NaN score.

    Args:
        best: int64 [rows, >= k], recommended item ids; 0 after a list's end, -1 throughout for a row with a NaN score.
        sensitive: bool [n_items].
        k: list length.
    """
    return _counted(sensitive[best[:, :k]] & (best[:, :k] > 0), best)


def forgotten_shown(best: Ids, forgotten: Ragged, n_items: int, k: int) -> Floats:
    """Count, in each user's top-``k`` list, the items that this user asked to forget, float64 [rows].

    Args:
        best: int64 [rows, >= k], as in :func:`sensitive_shown`; a row with a NaN score counts NaN.
        forgotten: the item ids that each row's user asked to forget.
        n_items: the number of item ids.
        k: list length.
    """
    return _counted(member(best[:, :k], forgotten, n_items), best)


def _counted(shown: Mask, best: Ids) -> Floats:
    """Return the number of True values per row, float64 [rows]; NaN for a row whose list is -1 (a NaN score)."""
    return np.where(best[:, 0] == UNKNOWN, np.nan, shown.sum(axis=1).astype(np.float64))
