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
    """Return a model's scores of all items for some users. Higher scores are better.

    Args:
        uid_series: user ids (from ``dataset.token2id``).
        model: a model that is already on ``device``.
        test_data: the loader of the validation or test split. Items that the loader excludes from a user's ranking,
            because they are in the user's history, have the score minus infinity. For sequential models no item is
            excluded, and the loader provides the input sequences.
        device: the device to compute on; None means the CPU.

    Returns:
        float [rows, n_items], with minus infinity for the padding (item 0). There is one row per user, in the given
        order; for sequential models, one row per evaluation example of these users.

    Raises:
        UserError: the model is sequential, and a user has no example in the loader's split.
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
    """Return the ``k`` items with the highest scores for some users.

    Args:
        uid_series, model, test_data, device: as for :func:`full_sort_scores`.
        k: the number of items.

    Returns:
        The scores (float) and the item ids (int64), [rows, k] each, best first; rows as in :func:`full_sort_scores`.

    Raises:
        UserError: as :func:`full_sort_scores`.
    """
    best = torch.topk(full_sort_scores(uid_series, model, test_data, device), k)
    return best.values, best.indices


def _sequences(test_data: FullSortEvalDataLoader, users: np.ndarray) -> Interaction:
    """Return the evaluation examples of some users as one batch, grouped by user in the given order.

    Args:
        test_data: the loader with the examples.
        users: int64, user ids.

    Raises:
        UserError: a user has no example.
    """
    rows = test_data.rows
    if missing := sorted(set(users.tolist()) - set(rows.entity.tolist())):
        raise UserError(f"user {missing[0]} has no example in the {test_data.part} data, so nothing can be scored")
    return rows.inputs[np.concatenate([np.flatnonzero(rows.entity == user) for user in users])].repeat(1)
