"""RecBole's case study: a model's scores and recommendations for chosen users."""

from __future__ import annotations

import numpy as np
import torch

from recbole.data.interaction import Interaction
from recbole.doors.loaders import FullSortEvalDataLoader
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import UserError


def full_sort_scores(
    uid_series: np.ndarray | list[int],
    model: AbstractRecommender,
    test_data: FullSortEvalDataLoader,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Return a model's scores of all items for some users, float [rows, n_items].

    The padding (item 0) and, in models other than sequential ones, the items of the user's history have the score minus
    infinity.

    Args:
        uid_series: user ids (from ``dataset.token2id``). There is one row per user; for sequential models one row per
            evaluation example of these users.
        model: a model that is already on ``device``.
        test_data: the loader, which determines the users' histories.
        device: the device; None means the CPU.

    Raises:
        UserError: the model is sequential and a user has no example in the loader's split.
    """
    users, data = np.asarray(uid_series, dtype=np.int64), test_data.dataset
    if test_data.is_sequential:
        chosen = _sequences(test_data, users)
    else:
        chosen = data.join(Interaction({data.uid_field: users}))
    model.eval()
    with torch.no_grad():
        scores = model.full_sort_predict(chosen.to(device or "cpu")).view(len(chosen), -1).clone()
    scores[:, 0] = -torch.inf
    for at, user in enumerate(users if not test_data.is_sequential else ()):
        scores[at, test_data.uid2history_item[user].to(scores.device)] = -torch.inf
    return scores


def full_sort_topk(
    uid_series: np.ndarray | list[int],
    model: AbstractRecommender,
    test_data: FullSortEvalDataLoader,
    k: int,
    device: torch.device | str | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scores and the item ids of the ``k`` best items, [rows, k] each; see :func:`full_sort_scores`."""
    best = torch.topk(full_sort_scores(uid_series, model, test_data, device), k)
    return best.values, best.indices


def _sequences(test_data: FullSortEvalDataLoader, users: np.ndarray) -> Interaction:
    """Return the evaluation examples of users (int64 ids) as one batch, user after user."""
    rows = test_data.rows
    if missing := sorted(set(users.tolist()) - set(rows.entity.tolist())):
        raise UserError(f"user {missing[0]} has no example in the {test_data.part} data, so nothing can be scored")
    return rows.inputs[np.concatenate([np.flatnonzero(rows.entity == user) for user in users])].repeat(1)
