"""How well groups were read: means over people, so that people can be drawn again for an interval."""

import numpy as np

from recbole.evaluator.kinds import Floats, Ids

METRICS = ("attack_auc", "attack_balanced_accuracy", "attack_macro_f1")
"""The area under the ROC curve (of more than two groups: each against the rest, the mean; .5 says nothing, below it the
order is the wrong way round), the mean share of each group that is told right, and the mean F1 of the groups."""


def shares(scores: Floats, group: Ids) -> Floats:
    """Return each person's share in the :data:`METRICS`: their means over the people are the metrics.

    A share is the metric and the person's influence on it, to first order; the AUC's are DeLong's placements (E. DeLong
    et al., Biometrics 1988; equation numbers not checked). So intervals of means are intervals of the metrics.

    Args:
        scores: float64 [n, groups], larger where a group is more likely; rows sum up to one.
        group: int64 [n], the true group. Groups that nobody is of count nothing.

    Returns:
        float64 [n, 3], NaN of the AUC where all are of one group.
    """
    there = np.unique(group)
    told = scores.argmax(axis=1)
    areas = [scores.shape[1] - 1] if scores.shape[1] == 2 else there
    columns = [
        np.mean([_area(scores[:, one], group == one) for one in areas], axis=0),
        np.mean([_recall(told, group == one, one) for one in there], axis=0),
        np.mean([_f1(told == one, group == one) for one in there], axis=0),
    ]
    return np.stack(columns, axis=1)


def auc(scores: Floats, group: Ids) -> float:
    """Return the area under the ROC curve of scores (float64 [n, groups]) and groups (int64 [n])."""
    return float(shares(scores, group)[:, 0].mean())


def turned(scores: Floats) -> Floats:
    """Return probabilities of groups (float64 [n, groups]) the other way round: the least likely is the most likely."""
    return (1 - scores) / (scores.shape[1] - 1)


def _area(score: Floats, member: np.ndarray) -> Floats:
    """Return the shares in the AUC of a score (float64 [n]) for a group (bool [n])."""
    if member.all() or not member.any():
        return np.full(len(score), np.nan)
    placed = np.empty(len(score))
    placed[member] = _below(score[~member], score[member])
    placed[~member] = 1 - _below(score[member], score[~member])
    area = placed[member].mean()
    return area + (placed - area) / np.where(member, member.mean(), 1 - member.mean())


def _below(others: Floats, score: Floats) -> Floats:
    """Return the share of ``others`` that is below each score; of equal ones half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, score) + np.searchsorted(ordered, score, "right")) / (2 * len(others))


def _recall(told: Ids, member: np.ndarray, group: int) -> Floats:
    right = told[member] == group
    recall = np.full(len(told), right.mean())
    recall[member] += (right - right.mean()) / member.mean()
    return recall


def _f1(told: np.ndarray, member: np.ndarray) -> Floats:
    both, either = 2.0 * (told & member), told.astype(float) + member
    f1 = both.mean() / either.mean()
    return f1 + (both - f1 * either) / either.mean()
