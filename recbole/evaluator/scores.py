"""Scores of every item for every question, a bounded piece at a time."""

from collections.abc import Iterator

import numpy as np
import torch

from recbole.data import EvalRows, Ragged
from recbole.evaluator.kinds import Ids, Mask, Recommender

SCORES_AT_ONCE = 2**24
"""How many scores are held at a time: 64 MiB of float32."""


def score_batches(
    model: Recommender, rows: EvalRows, masked: bool = True, batch_rows: int = 4096
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield ``(start, scores)`` over the rows; padding, and history if ``masked``, score minus infinity.

    Args:
        model: a recommender; it is put in evaluation mode.
        rows: :class:`~recbole.data.EvalRows`.
        masked: leave out each row's history, or let the whole catalogue compete.
        batch_rows: at most so many rows at a time; fewer when the catalogue is large.

    Yields:
        The number of the first row, and float scores [batch, n_items] on the model's device.
    """
    model.eval()
    device = next(model.parameters()).device
    step = max(min(batch_rows, SCORES_AT_ONCE // model.n_items), 1)
    history = rows.history
    for start in range(0, len(rows.inputs), step):
        stop = min(start + step, len(rows.inputs))
        with torch.no_grad():
            scores = model.full_sort_predict(rows.inputs[start:stop].to(device)).view(stop - start, -1)
        scores = scores.clone()  # a model may keep what it returns, or expand one vector to all rows
        scores[:, 0] = -torch.inf
        if masked:
            sizes = np.diff(history.offsets[start : stop + 1])
            row = torch.from_numpy(np.repeat(np.arange(stop - start), sizes)).to(device)
            item = torch.from_numpy(history.values[history.offsets[start] : history.offsets[stop]]).to(device)
            scores[row, item] = -torch.inf
        yield start, scores


def top_items(model: Recommender, rows: EvalRows, k: int, masked: bool = True, batch_rows: int = 4096) -> Ids:
    """Return the ``k`` best items of each row, best first: int64 [rows, k] on the CPU.

    Items that score minus infinity or NaN are padding (0): with fewer than ``k`` candidates the list is shorter.
    """
    best = np.zeros((len(rows.inputs), k), dtype=np.int64)
    for start, scores in score_batches(model, rows, masked, batch_rows):
        best[start : start + len(scores)] = best_of(scores, k)
    return best


def best_of(scores: torch.Tensor, k: int) -> Ids:
    """Return the ``k`` best items of each row of scores, as :func:`top_items`; NaN becomes minus infinity there."""
    width = min(k, scores.shape[1])
    value, item = torch.topk(scores.nan_to_num_(-torch.inf, torch.inf, -torch.inf), width, dim=1)
    best = np.zeros((len(scores), k), dtype=np.int64)
    best[:, :width] = torch.where(value > -torch.inf, item, 0).cpu().numpy()
    return best


def member(items: Ids, sets: Ragged, n_items: int) -> Mask:
    """Return whether each recommended item is in its row's set.

    Args:
        items: int64 [rows, k]; 0 is nowhere a member.
        sets: :class:`~recbole.data.Ragged` of item ids, one row each.
        n_items: the catalogue's size.

    Returns:
        bool [rows, k].
    """
    row = np.repeat(np.arange(len(sets)), sets.sizes())
    keys = np.sort(row * n_items + sets.values)
    asked = np.arange(len(items))[:, None] * n_items + items
    if not len(keys):
        return np.zeros(items.shape, dtype=bool)
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return (keys[at] == asked) & (items > 0)
