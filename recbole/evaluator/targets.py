"""How well the items that a spam attack promotes do with genuine users."""

from dataclasses import dataclass

import numpy as np
import torch

from recbole.evaluator.scores import best_of, score_batches
from recbole.evaluator.table import Table
from recbole.evaluator.utility import utility_of

VIEW = "clean"
"""The view that is asked: the test rows of the data without any spam, so genuine users alone."""


@dataclass(frozen=True)
class TargetScores:
    """What a model makes of the promoted items, one row a question.

    Attributes:
        best: int64 [rows, k], the recommended items.
        rank: float64 [rows, targets], the place of each promoted item among a row's candidates, from 1: of equally
            scored ones the mean of their places, as in Wilcoxon's and Spearman's statistics, so that a model which
            tells no items apart gives everything the middle; NaN where it is none, being in the row's history.
        log_probability: float32 [rows, targets], of the softmax over the row's candidates; minus infinity where it is
            none.
    """

    best: np.ndarray
    rank: np.ndarray
    log_probability: np.ndarray


def target_scores(model, rows, targets, k, batch_rows=4096):
    """Return the :class:`TargetScores` of a model, holding one bounded batch of scores at a time.

    Args:
        model: any recommender.
        rows: :class:`~recbole.data.EvalRows`.
        targets: int64, ids of the promoted items.
        k: length of the recommendations.
        batch_rows: see :func:`~recbole.evaluator.scores.score_batches`.
    """
    shape = len(rows.inputs), len(targets)
    found = TargetScores(np.zeros((shape[0], k), dtype=np.int64), np.empty(shape), np.empty(shape, dtype=np.float32))
    for start, scores in score_batches(model, rows, batch_rows=batch_rows):
        batch = slice(start, start + len(scores))
        found.best[batch] = best_of(scores, k)
        own = scores[:, torch.from_numpy(targets).to(scores.device)]
        place = torch.stack([_mean_place(scores, own[:, at, None]) for at in range(len(targets))], dim=1)
        found.rank[batch] = torch.where(own > -torch.inf, place, torch.nan).cpu().numpy()
        total = scores.double().logsumexp(dim=1, keepdim=True)
        found.log_probability[batch] = (own.double() - total).float().cpu().numpy()
    return found


def _mean_place(scores, own):
    """Return the mean of the first and the last place that each row's ``own`` [rows, 1] may take, float64 [rows]."""
    better, as_good = (scores > own).sum(dim=1), (scores == own).sum(dim=1)
    return better + (as_good + 1).double() / 2


def evaluate_targets(model, rows, targets, config, /, **about):
    """Put the questions of genuine users to a model.

    ``target_hit_rate``: the share of rows with a promoted item in the top k; ``target_exposure``: the mean share of the
    top k that promoted items take; ``target_rank`` and ``target_log_probability``: means over all pairs of a row and a
    promoted item that may be recommended there; ties share their mean rank.

    Args:
        model: any recommender.
        rows: the clean data's test rows.
        targets: int64, ids of the promoted items.
        config: reads ``metrics``, ``topk``, ``eval_batch_size``.
        about: columns of the result table, such as ``model``.

    Returns:
        Rows of the result table, utility on the same questions among them, and the :class:`TargetScores`.
    """
    ks = config["topk"]
    found = target_scores(model, rows, targets, max(ks), config["eval_batch_size"])
    table = Table(split="test", view=VIEW, population="all", masking="retained", n_skipped=rows.n_skipped, **about)
    values = utility_of(found.best, rows, model.n_items, config)
    shown = np.isin(found.best, targets)
    for k in ks:
        values["target_hit_rate", k] = shown[:, :k].any(axis=1)
        values["target_exposure", k] = shown[:, :k].mean(axis=1)
    candidate = ~np.isnan(found.rank)
    values["target_rank", None] = found.rank[candidate]
    values["target_log_probability", None] = found.log_probability[candidate].astype(np.float64)
    for (metric, k), value in values.items():
        table.add(metric, value.mean() if len(value) else np.nan, k, n_rows=len(rows.inputs))
    return table.rows, found
