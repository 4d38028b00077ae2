"""RecBole's case study: what a model recommends to chosen users."""

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
    """Return the scores of all items, float [rows, n_items]; padding and history score minus infinity.

    Args:
        uid_series: ids of users (``dataset.token2id``). Of sequences, each example of theirs in the part is a row.
        model: on the device.
        test_data: whose part says what is history.
        device: the CPU by default.

    Raises:
        UserError: one of the users has nothing in the part of a sequential data set.
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
    """Return the scores and the ids of the ``k`` best items, [rows, k] each: see :func:`full_sort_scores`."""
    best = torch.topk(full_sort_scores(uid_series, model, test_data, device), k)
    return best.values, best.indices


def _sequences(test_data: FullSortEvalDataLoader, users: np.ndarray) -> Interaction:
    rows = test_data.rows
    if missing := sorted(set(users.tolist()) - set(rows.entity.tolist())):
        raise UserError(f"user {missing[0]} has no example in the {test_data.part} data to ask about")
    return rows.inputs[np.concatenate([np.flatnonzero(rows.entity == user) for user in users])].repeat(1)
