"""How much a model recommends to genuine users the items that a spam attack promotes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from recbole.evaluator.asked import Asked
from recbole.evaluator.averages import add_answers, add_means
from recbole.evaluator.kinds import Floats, Recommender, Reference, Row
from recbole.evaluator.pairs import Key
from recbole.evaluator.probe import Probe
from recbole.evaluator.settings import EvalSettings
from recbole.evaluator.table import Table
from recbole.evaluator.utility import Answers, answer
from recbole.evaluator.views import TargetView, counted

_OF_TARGETS = ("target_hit_rate", "target_exposure", "target_rank", "target_log_probability")


@dataclass(frozen=True)
class TargetScores:
    """A model's ranks and probabilities for the promoted items, in each evaluation row (ranking).

    Attributes:
        rank: float64 [rows, targets], the rank of each promoted item among the row's candidates, from 1. Items with
            equal scores share their mean rank, as in Wilcoxon's and Spearman's statistics. A model that scores all
            items alike therefore gives each of them the middle rank. NaN where the item is not a candidate.
        log_probability: float32 [rows, targets], the log of the item's softmax probability among the row's candidates;
            minus infinity where the item is not a candidate.
    """

    rank: Floats
    log_probability: NDArray[np.float32]


@dataclass(frozen=True)
class Targets(Probe[TargetView]):
    """Ranks of the promoted items in the recommendations for genuine users, and utility metrics on the same data.

    Promoted items are those that a spam attack wants to be recommended. A row is one ranking.

    - ``target_hit_rate``: the share of rows with a promoted item in the top k.
    - ``target_exposure``: the mean share of the top k ranks that hold promoted items.
    - ``target_rank``, ``target_log_probability``: the mean rank, and the mean log of the softmax probability, over all
      (row, promoted item) pairs in which the item is a candidate. Items with equal scores share their mean rank.

    The intervals come from resampling users, each with all of their rows and pairs.

    Attributes:
        keep: a function that is called with the :class:`TargetScores` from which the means are computed, for example to
            write them to a file; None calls nothing.
    """

    name: ClassVar[str] = "targets"
    keep: Callable[[TargetScores], None] | None = None

    def ask(
        self, model: Recommender, view: TargetView, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return one row per metric and list length on the data without spam; arguments: see :meth:`Probe.ask`.

        With a reference, further rows contain the mean differences "model minus reference". The column ``n_rows`` is
        the number of evaluation rows, also for ranks and probabilities, which are means over (row, item) pairs.
        """
        answers, scores = _asked(model, view, settings)
        if self.keep is not None:
            self.keep(scores)
        rows, everybody = view.rows, np.ones(len(view.rows.inputs), dtype=bool)
        about = {"split": "test", "view": "clean", "masking": "retained"}
        counts = counted(rows, everybody)
        of_rows, of_pairs = _values(answers, scores, view, settings)
        others: list[tuple[dict[Key, Floats], Reference] | None] = [None, None]
        compared = None
        if reference is not None:
            asked = _asked(reference.model, view, settings)
            others = [(values, reference) for values in _values(*asked, view, settings)]
            compared = asked[0], reference
        table, pairs = Table(**about, n_skipped=rows.n_skipped), Table(**about)
        add_answers(table, answers, rows, {"all": everybody}, compared)
        add_means(table, of_rows, rows.entity, {"all": everybody}, others[0])
        person = np.repeat(rows.entity, len(view.targets))
        candidate = ~np.isnan(scores.rank).ravel()
        add_means(pairs, of_pairs, person, {"all": candidate}, others[1])
        order = [*(metric.name.lower() for metric in settings.metrics), *_OF_TARGETS]
        return sorted(
            [*table.rows, *(row | counts for row in pairs.rows)],
            key=lambda row: (row["minus"] is not None, order.index(row["metric"])),
        )


def _asked(model: Recommender, view: TargetView, settings: EvalSettings) -> tuple[Answers, TargetScores]:
    """Return the result of :func:`target_scores`, which is computed once per model, view and settings, and cached."""
    asked = Asked.of(model)
    question = ("targets", settings, *view.targets.tolist())
    return asked.once(view.rows, question, lambda: target_scores(asked, view, settings))


def _values(
    answers: Answers, scores: TargetScores, view: TargetView, settings: EvalSettings
) -> tuple[dict[Key, Floats], dict[Key, Floats]]:
    """Return the single values whose means are the metrics of promoted items.

    Returns:
        Two dicts from (metric, list length): one to values per row, float64 [rows], and one to values per (row,
        promoted item) pair, float64 [rows * targets]. Values are NaN in rows with a NaN score, and in pairs in which
        the item is not a candidate.
    """
    of_rows: dict[Key, Floats] = {}
    shown = np.where(answers.unknown[:, None], np.nan, np.isin(answers.best, view.targets))
    for k in settings.topk:
        of_rows["target_hit_rate", k] = shown[:, :k].max(axis=1)
        of_rows["target_exposure", k] = np.mean(shown[:, :k], axis=1)
    known = ~np.isnan(scores.rank) & ~answers.unknown[:, None]
    of_pairs: dict[Key, Floats] = {
        ("target_rank", None): np.where(known, scores.rank, np.nan).ravel(),
        ("target_log_probability", None): np.where(known, scores.log_probability, np.nan).astype(np.float64).ravel(),
    }
    return of_rows, of_pairs


def target_scores(model: Recommender, view: TargetView, settings: EvalSettings) -> tuple[Answers, TargetScores]:
    """Score the rows of a view once, for the utility metrics and for the ranks and probabilities of promoted items.

    Args:
        model: any recommender.
        view: the evaluation data with the promoted items.
        settings: which utility metrics, at which list lengths, and how many rows are scored at once.
    """
    shape = len(view.rows.inputs), len(view.targets)
    found = TargetScores(np.empty(shape), np.empty(shape, dtype=np.float32))

    def note(start: int, scores: torch.Tensor) -> None:
        batch = slice(start, start + len(scores))
        own = scores[:, torch.from_numpy(view.targets).to(scores.device)]
        place = torch.stack([_mean_place(scores, own[:, at, None]) for at in range(shape[1])], dim=1)
        found.rank[batch] = torch.where(own > -torch.inf, place, torch.nan).cpu().numpy()
        total = scores.double().logsumexp(dim=1, keepdim=True)
        found.log_probability[batch] = (own.double() - total).float().cpu().numpy()

    return answer(model, view.rows, settings, note), found


def _mean_place(scores: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return the rank of one score per row among all scores of the row, float64 [rows]; ties share their mean rank.

    Let better, equal and worse be the numbers of scores above, equal to and below this score, which is itself one of
    the equal ones. The rank is better + (equal + 1) / 2. As better + equal + worse = all, this is computed as (all + 1
    + better - worse) / 2.

    Args:
        scores: float [rows, n_items].
        own: float [rows, 1], the score to rank.
    """
    ahead = (scores - own).nan_to_num_(nan=0.0).sign_().sum(dim=1, dtype=torch.float32)  # inf - inf counts as equal
    return (ahead.double() + scores.shape[1] + 1) / 2
