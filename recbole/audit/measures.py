"""Attack metrics, expressed as means over users, so that confidence intervals can be computed by resampling users."""

import numpy as np

from recbole.evaluator.kinds import Floats, Ids

METRICS = ("attack_auc", "attack_balanced_accuracy", "attack_macro_f1")
"""The attack metrics.

Area under the ROC curve (.5 is chance, below it predictions are inverted; with more than two groups the mean of each
group against the rest), balanced accuracy (the mean recall of the groups), and macro F1.
"""


def shares(scores: Floats, group: Ids) -> Floats:
    """Return each user's share in the :data:`METRICS`: numbers whose mean over the users is the metric.

    A share is the metric plus the user's first-order influence on it, so that a confidence interval for the mean of the
    shares is one for the metric. For the AUC the shares follow from DeLong's placements (E. DeLong et al., Biometrics
    1988; equation numbers not checked).

    Args:
        scores: float64 [n, groups], predicted group probabilities; rows sum to one.
        group: int64 [n], the true groups. Groups that do not occur are ignored.

    Returns:
        float64 [n, 3], one column per metric. The AUC is NaN if all users are in one group.
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
    """Return the area under the ROC curve, see :data:`METRICS`; arguments as in :func:`shares`."""
    return float(shares(scores, group)[:, 0].mean())


def turned(scores: Floats) -> Floats:
    """Invert group probabilities (float64 [n, groups]): the least likely group becomes the most likely one."""
    return (1 - scores) / (scores.shape[1] - 1)


def _area(score: Floats, member: np.ndarray) -> Floats:
    """Return each user's share, float64 [n], in the AUC of a score (float64 [n]) for group membership (bool [n])."""
    if member.all() or not member.any():
        return np.full(len(score), np.nan)
    placed = np.empty(len(score))
    placed[member] = _below(score[~member], score[member])
    placed[~member] = 1 - _below(score[member], score[~member])
    area = placed[member].mean()
    return area + (placed - area) / np.where(member, member.mean(), 1 - member.mean())


def _below(others: Floats, score: Floats) -> Floats:
    """Return, for each score, the fraction of ``others`` that is smaller; equal ones count one half. float64 [n]."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, score) + np.searchsorted(ordered, score, "right")) / (2 * len(others))


def _recall(told: Ids, member: np.ndarray, group: int) -> Floats:
    """Return each user's share, float64 [n], in the recall of a group.

    Args:
        told: int64 [n], predicted groups.
        member: bool [n], whether a user is in the group.
        group: the group's number.
    """
    right = told[member] == group
    recall = np.full(len(told), right.mean())
    recall[member] += (right - right.mean()) / member.mean()
    return recall


def _f1(told: np.ndarray, member: np.ndarray) -> Floats:
    """Return each user's share, float64 [n], in a group's F1, given predicted and true membership (bool [n] each)."""
    both, either = 2.0 * (told & member), told.astype(float) + member
    f1 = both.mean() / either.mean()
    return f1 + (both - f1 * either) / either.mean()
