"""Attack metrics, expressed as means over users, so that confidence intervals can be computed by resampling users."""

import numpy as np

from recbole.evaluator.kinds import Floats, Ids

METRICS = ("attack_auc", "attack_balanced_accuracy", "attack_macro_f1")
"""The attack metrics; for each of them, higher means that the attacker predicts better.

``attack_auc``: area under the ROC curve. .5 is chance; below .5, the inverted predictions would be better than chance.
With more than two groups it is the mean of the AUCs of each group against the rest. ``attack_balanced_accuracy``: the
mean of the groups' recalls. ``attack_macro_f1``: the mean of the groups' F1.
"""


def shares(scores: Floats, group: Ids) -> Floats:
    """Return for each user and metric a number such that the mean of these numbers over users is the metric.

    The number is the metric plus the user's first-order influence on it. A confidence interval for the mean of the
    numbers is therefore one for the metric. For the AUC they follow from DeLong's placements (E. DeLong et al.,
    Biometrics 1988; equation numbers not checked).

    Args:
        scores: float64 [n, groups], predicted group probabilities; rows sum to one.
        group: int64 [n], the true groups. Groups that do not occur are ignored.

    Returns:
        float64 [n, 3], one column for each of the :data:`METRICS`. The AUC is NaN if all users are in one group.
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
    """Return the area under the ROC curve, see :data:`METRICS`; NaN if all users are in one group.

    Args:
        scores: float64 [n, groups], predicted group probabilities; rows sum to one.
        group: int64 [n], the true groups.
    """
    return float(shares(scores, group)[:, 0].mean())


def turned(scores: Floats) -> Floats:
    """Invert predicted probabilities, such that the least likely group becomes the most likely one.

    Args:
        scores: float64 [n, groups], group probabilities; rows sum to one.

    Returns:
        float64 [n, groups]; rows sum to one.
    """
    return (1 - scores) / (scores.shape[1] - 1)


def _area(score: Floats, member: np.ndarray) -> Floats:
    """Return for each user a number, float64 [n], such that their mean is the AUC of one group against the rest.

    Args:
        score: float64 [n], the predicted probability of the group.
        member: bool [n], whether the user is in the group. If all users are, or none is, the result is NaN.
    """
    if member.all() or not member.any():
        return np.full(len(score), np.nan)
    placed = np.empty(len(score))
    placed[member] = _below(score[~member], score[member])
    placed[~member] = 1 - _below(score[member], score[~member])
    area = placed[member].mean()
    return area + (placed - area) / np.where(member, member.mean(), 1 - member.mean())


def _below(others: Floats, score: Floats) -> Floats:
    """Return for each score the fraction of other scores that are smaller, float64 [n]; an equal one counts one half.

    Args:
        others: float64 [m], the other scores.
        score: float64 [n].
    """
    ordered = np.sort(others)
    return (np.searchsorted(ordered, score) + np.searchsorted(ordered, score, "right")) / (2 * len(others))


def _recall(told: Ids, member: np.ndarray, group: int) -> Floats:
    """Return for each user a number, float64 [n], such that their mean is the recall of a group.

    Args:
        told: int64 [n], predicted groups.
        member: bool [n], whether the user is in the group.
        group: the group's number.
    """
    right = told[member] == group
    recall = np.full(len(told), right.mean())
    recall[member] += (right - right.mean()) / member.mean()
    return recall


def _f1(told: np.ndarray, member: np.ndarray) -> Floats:
    """Return for each user a number, float64 [n], such that their mean is the F1 of a group.

    Args:
        told: bool [n], whether the user is predicted to be in the group.
        member: bool [n], whether the user is in the group.
    """
    both, either = 2.0 * (told & member), told.astype(float) + member
    f1 = both.mean() / either.mean()
    return f1 + (both - f1 * either) / either.mean()
