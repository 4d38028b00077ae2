"""What a model still shows of the things that were to be forgotten."""

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
    """Sensitive items in everybody's lists, and forgotten ones in the lists of those who asked.

    ``pct_users_with_sensitive`` (per cent of rows with one or more; the headline), ``avg_sensitive_per_user``,
    ``min_...``, ``max_...`` and ``total_sensitive_in_topk`` are ERASE's sensitive-item metrics. Of the items that a
    person asked to forget there are the same but for the total, and ``recall_of_forgotten``, the mean share of them
    that is shown. Percentages and means have intervals and, of requesting people, differences from the reference.
    """

    name = "exposure"

    def ask(
        self, model: Recommender, view: Views, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return rows for the whole catalogue and for all but the retained history, for each population and length."""
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
                asking = {"requesting": populations["requesting"]}
                _add(table, "forgotten", numbers[0], means, reference, shown, asking)
            found += sorted(table.rows, key=lambda row: settings.topk.index(row["k"]))
        return found


def _means(what: str, numbers: dict[int, Floats], out_of: Ids | None = None) -> dict[Key, Floats]:
    """Return, of a number of items in each list, what means are taken of, float64 [rows] each.

    Args:
        what: the items.
        numbers: list length to the number of such items in each list, float64 [rows].
        out_of: int64 [rows], how many there could be, if the share of them is looked at.
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
    """Add the rows of a number of items in each list (float64 [rows] by length): means with intervals, ends, total.

    ``means`` are the model's and, if there is one, the reference's.
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
    """Count the sensitive items in each top ``k``, float64 [rows]; NaN where the row has no list.

    Args:
        best: int64 [rows, >= k], recommended items; 0 is none, -1 throughout of a row without a list.
        sensitive: bool [n_items].
        k: list length.
    """
    return _counted(sensitive[best[:, :k]] & (best[:, :k] > 0), best)


def forgotten_shown(best: Ids, forgotten: Ragged, n_items: int, k: int) -> Floats:
    """Count, in each user's top ``k``, the very items that this user asked to forget: see :func:`sensitive_shown`.

    Args:
        best: int64 [rows, >= k].
        forgotten: :class:`~recbole.data.Ragged`, each row's forgotten items.
        n_items: the catalogue's size.
        k: list length.
    """
    return _counted(member(best[:, :k], forgotten, n_items), best)


def _counted(shown: Mask, best: Ids) -> Floats:
    return np.where(best[:, 0] == UNKNOWN, np.nan, shown.sum(axis=1).astype(np.float64))
