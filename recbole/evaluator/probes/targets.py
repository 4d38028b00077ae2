"""How well the items that a spam attack promotes do with genuine users."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from recbole.evaluator.kinds import Floats, Recommender, Reference, Row
from recbole.evaluator.probe import Probe
from recbole.evaluator.settings import EvalSettings
from recbole.evaluator.table import Table
from recbole.evaluator.utility import Answers, answer, mean
from recbole.evaluator.views import TargetView, counted


@dataclass(frozen=True)
class TargetScores:
    """What a model makes of the promoted items, one row a question.

    Attributes:
        rank: float64 [rows, targets], the place of each promoted item among a row's candidates, from 1: of equally
            scored ones the mean of their places, as in Wilcoxon's and Spearman's statistics, so that a model which
            tells no items apart gives everything the middle; NaN where it is none, being in the row's history.
        log_probability: float32 [rows, targets], of the softmax over the row's candidates; minus infinity where it is
            none.
    """

    rank: Floats
    log_probability: NDArray[np.float32]


@dataclass(frozen=True)
class Targets(Probe[TargetView]):
    """What promoted items gain with genuine users, and the utility on the same questions.

    ``target_hit_rate``: the share of rows with a promoted item in the top k; ``target_exposure``: the mean share of the
    top k that promoted items take; ``target_rank`` and ``target_log_probability``: means over all pairs of a row and a
    promoted item that may be recommended there; ties share their mean rank.

    Attributes:
        keep: is given the :class:`TargetScores` that the means are of, such as a function that writes them to a file.
    """

    name: ClassVar[str] = "targets"
    keep: Callable[[TargetScores], None] | None = None

    def ask(
        self, model: Recommender, view: TargetView, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return a row for each metric and list length, on the clean data."""
        answers, found = target_scores(model, view, settings)
        if self.keep is not None:
            self.keep(found)
        n_rows = len(view.rows.inputs)
        values = answers.means({"all": np.ones(n_rows, dtype=bool)})["all"]
        shown = np.where(answers.unknown[:, None], np.nan, np.isin(answers.best, view.targets))
        for k in settings.topk:
            values["target_hit_rate", k] = mean(shown[:, :k].max(axis=1))
            values["target_exposure", k] = mean(np.mean(shown[:, :k], axis=1))
        candidate = ~np.isnan(found.rank)
        found.rank[answers.unknown], found.log_probability[answers.unknown] = np.nan, np.nan
        values["target_rank", None] = mean(found.rank[candidate])
        values["target_log_probability", None] = mean(found.log_probability[candidate].astype(np.float64))
        counts = counted(view.rows, np.ones(n_rows, dtype=bool))
        table = Table(split="test", view="clean", population="all", masking="retained", **counts)
        for (metric, length), value in values.items():
            table.add(metric, value, length)
        return table.rows


def target_scores(model: Recommender, view: TargetView, settings: EvalSettings) -> tuple[Answers, TargetScores]:
    """Return what a model answers and what it makes of the promoted items, from one pass over the questions."""
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
    """Return the mean of the first and the last place that each row's ``own`` [rows, 1] may take, float64 [rows].

    It is better + (as good + 1) / 2 and, as all are better, as good, or worse, (all + 1 + better - worse) / 2.
    """
    ahead = (scores - own).nan_to_num_(nan=0.0).sign_().sum(dim=1, dtype=torch.float32)  # two infinities are as good
    return (ahead.double() + scores.shape[1] + 1) / 2
