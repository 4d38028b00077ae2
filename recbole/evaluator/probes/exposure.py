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
    """How many sensitive items, and how many items that a user asked to forget, are in the users' top-k lists.

    Sensitive items are counted for users with a deletion request and for a sample of other users. The metrics are those
    of ERASE: ``pct_users_with_sensitive`` (the main one: per cent of the lists with at least one sensitive item),
    ``avg_sensitive_per_user``, ``min_sensitive_per_user``, ``max_sensitive_per_user`` and ``total_sensitive_in_topk``.

    Forgotten items are counted only in the lists of the user who asked to forget them. The metrics are
    ``pct_users_with_forgotten``, ``avg_forgotten_per_user``, ``min_forgotten_per_user``, ``max_forgotten_per_user`` and
    ``recall_of_forgotten`` (the mean share of a user's forgotten items that are in the list).

    Percentages and means have 95 % intervals. For users with a request, the differences of these values from those of
    the reference model are added.
    """

    name = "exposure"

    def ask(
        self, model: Recommender, view: Views, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return one row per masking, group of users, metric and list length; arguments: see :meth:`Probe.ask`.

        With the masking ``all``, all items are candidates. With ``retained``, the items in the user's history are
        excluded; forgotten interactions are no part of the history.
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
    """Return the values per row whose means are the metrics, float64 [rows] each, by metric and list length.

    Args:
        what: which items are counted: ``sensitive`` or ``forgotten``; part of the metrics' names.
        numbers: list length to the number of counted items in each row's list, float64 [rows].
        out_of: int64 [rows], how many items a row's user asked to forget, for the metric ``recall_of_forgotten``; None
            leaves this metric out.
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
    """Add all metrics of sensitive or of forgotten items to a table: one row per metric, group of users and k.

    Args:
        table: the result table to add to.
        what: which items are counted: ``sensitive`` or ``forgotten``; part of the metrics' names.
        numbers: list length to the number of counted items in each row's list, float64 [rows].
        means: the result of :func:`_means` for the model, and as a second element for the reference, if there is one.
        reference: the reference model, or None.
        rows: the evaluation rows.
        populations: name of a group of users (such as ``requesting``) to bool [rows], True for rows of the group.
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
    """Return the number of sensitive items in each top-``k`` list, float64 [rows]; NaN for a row with a NaN score.

    Args:
        best: int64 [rows, at least k], the recommended item ids, best first; 0 after the end of a list. If a row has a
            NaN score, its whole list is -1.
        sensitive: bool [n_items], True for sensitive items.
        k: list length.
    """
    return _counted(sensitive[best[:, :k]] & (best[:, :k] > 0), best)


def forgotten_shown(best: Ids, forgotten: Ragged, n_items: int, k: int) -> Floats:
    """Return how many items that the user asked to forget are in each top-``k`` list, float64 [rows].

    A row with a NaN score gets NaN.

    Args:
        best: int64 [rows, at least k], the recommended item ids, as for :func:`sensitive_shown`.
        forgotten: the item ids that the user of each row asked to forget.
        n_items: the number of item ids.
        k: list length.
    """
    return _counted(member(best[:, :k], forgotten, n_items), best)


def _counted(shown: Mask, best: Ids) -> Floats:
    """Return the number of True values in each row of ``shown``, float64 [rows]; NaN where the model had a NaN score.

    Args:
        shown: bool [rows, k], whether each recommended item is counted.
        best: int64 [rows, at least k], the recommended item ids; -1 in rows with a NaN score.
    """
    return np.where(best[:, 0] == UNKNOWN, np.nan, shown.sum(axis=1).astype(np.float64))
