"""What a model still shows of the things that were to be forgotten."""

import numpy as np

from recbole.data import Ragged
from recbole.evaluator.asked import Asked
from recbole.evaluator.kinds import Ids, Mask, Recommender, Reference, Row
from recbole.evaluator.probe import Probe
from recbole.evaluator.scores import member
from recbole.evaluator.settings import EvalSettings
from recbole.evaluator.table import Table
from recbole.evaluator.views import Views, counted


class Exposure(Probe[Views]):
    """Sensitive items in everybody's lists, and forgotten ones in the lists of those who asked."""

    name = "exposure"

    def ask(
        self, model: Recommender, view: Views, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return rows for the whole catalogue and for all but the retained history, for each population and length."""
        shown = view.shown
        data = "current" if len(view.requesting) else "all"
        table = Table(checkpoint=view.checkpoint, split="test", view=data)
        asked = Asked.of(model)
        for masking in ("all", "retained"):
            best = asked.lists(shown, max(settings.topk), masking == "retained", settings.batch_size)
            for population, chosen in view.populations(shown):
                about = {"population": population, "masking": masking, **counted(shown, chosen)}
                for k in settings.topk:
                    for metric, value in _shown(view, best, population, chosen, model.n_items, k).items():
                        table.add(metric, value, k, **about)
        return table.rows


def _shown(view: Views, best: Ids, population: str, chosen: Mask, n_items: int, k: int) -> dict[str, float]:
    found: dict[str, float] = {}
    if view.sensitive is not None:
        found |= sensitive_exposure(best[chosen], view.sensitive, k)
    if population == "requesting":
        found |= forgotten_exposure(best[chosen], view.forgotten.take(np.flatnonzero(chosen)), n_items, k)
    return found


def sensitive_exposure(best: Ids, sensitive: Mask, k: int) -> dict[str, float]:
    """Count sensitive items in the top ``k``: ERASE's sensitive-item metrics.

    Args:
        best: int64 [rows, >= k], recommended items; 0 is none.
        sensitive: bool [n_items].
        k: list length.

    Returns:
        ``pct_users_with_sensitive`` (per cent of rows with one or more; the headline),
        ``avg_sensitive_per_user``, ``min_...``, ``max_...``, and ``total_sensitive_in_topk``; NaN without any row.
    """
    shown = (sensitive[best[:, :k]] & (best[:, :k] > 0)).sum(axis=1)
    return _summary(shown, "sensitive") | {"total_sensitive_in_topk": float(shown.sum())}


def forgotten_exposure(best: Ids, forgotten: Ragged, n_items: int, k: int) -> dict[str, float]:
    """Count, in each requesting user's top ``k``, the very items that this user asked to forget.

    Args:
        best: int64 [rows, >= k].
        forgotten: :class:`~recbole.data.Ragged`, each row's forgotten items.
        n_items: the catalogue's size.
        k: list length.

    Returns:
        ``pct_users_with_forgotten``, ``avg_forgotten_per_user``, ``min_...``, ``max_...``, and
        ``recall_of_forgotten`` (the mean share of the forgotten items that is shown).
    """
    shown = member(best[:, :k], forgotten, n_items).sum(axis=1)
    asked = np.maximum(forgotten.sizes(), 1)
    recall = float(np.mean(shown / asked)) if len(shown) else float("nan")
    return _summary(shown, "forgotten") | {"recall_of_forgotten": recall}


def _summary(shown: Ids, what: str) -> dict[str, float]:
    some = len(shown) > 0
    return {
        f"pct_users_with_{what}": 100.0 * float(np.mean(shown > 0)) if some else float("nan"),
        f"avg_{what}_per_user": float(np.mean(shown)) if some else float("nan"),
        f"min_{what}_per_user": float(shown.min()) if some else float("nan"),
        f"max_{what}_per_user": float(shown.max()) if some else float("nan"),
    }
