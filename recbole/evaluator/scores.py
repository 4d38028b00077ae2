"""Scores of all items for each evaluation row (ranking), computed in batches of limited size, and the top-k items."""

from collections.abc import Iterator

import numpy as np
import torch

from recbole.data import EvalRows, Ragged
from recbole.data.log import ranges
from recbole.evaluator.kinds import Ids, Mask, Recommender
from recbole.evaluator.ties import Order

SCORES_AT_ONCE = {"cpu": 2**20}
"""How many scores are held at once on each kind of device: 4 MiB of float32, which fits in a CPU's cache."""

SCORES_ON_DEVICE = 2**24
"""How many scores are held at once on devices not listed above, such as GPUs: 64 MiB of float32."""

UNKNOWN = -1
"""The item id at every rank of the list of a row that has a NaN score."""

_BLOCK = 4
"""Number of scores in a block. On a CPU the top-k search compares the maxima of blocks first (:func:`_largest`)."""


def rows_at_once(model: Recommender, batch_rows: int) -> tuple[int, torch.device]:
    """Return how many rows are scored at once, and the model's device.

    Args:
        model: a recommender.
        batch_rows: the most rows; fewer are scored at once when the catalogue is large.
    """
    device = next(model.parameters()).device
    at_once = SCORES_AT_ONCE.get(device.type, SCORES_ON_DEVICE)
    return max(min(batch_rows, at_once // model.n_items), 1), device


def score_batches(
    model: Recommender, rows: EvalRows, masked: bool = True, batch_rows: int = 4096
) -> Iterator[tuple[int, torch.Tensor]]:
    """Compute a model's scores of all items, batch by batch.

    The padding (item 0) always scores minus infinity. So do the forgotten (user, item) pairs that the baseline
    ``filter`` hides; this baseline leaves the model unchanged and only stops recommending forgotten items.

    Args:
        model: a recommender; it is put in evaluation mode.
        rows: the evaluation rows.
        masked: True also sets items that are no candidates, such as those in the row's history, to minus infinity (see
            :func:`of_candidates`). False keeps the scores of all items.
        batch_rows: the most rows per batch; a batch has fewer rows when the catalogue is large.

    Yields:
        ``(start, scores)``: the index of the batch's first row among the evaluation rows, and the scores, float
        [batch, n_items], on the model's device.
    """
    model.eval()
    step, device = rows_at_once(model, batch_rows)
    for start in range(0, len(rows.inputs), step):
        stop = min(start + step, len(rows.inputs))
        with torch.no_grad():
            scores = model.full_sort_predict(rows.inputs[start:stop].to(device)).view(stop - start, -1)
        scores = scores.clone()  # the model may cache its result, or return one row expanded to all
        scores[:, 0] = -torch.inf
        _hide(scores, getattr(model, "hidden_pairs", None), rows.entity[start:stop])
        yield start, of_candidates(scores, rows, start) if masked else scores


def of_candidates(scores: torch.Tensor, rows: EvalRows, start: int) -> torch.Tensor:
    """Set the scores of items that are no candidates to minus infinity, in place.

    If candidates are sampled, these are all items that are neither relevant nor sampled for the row. Otherwise they are
    the items in the row's history.

    Args:
        scores: float [batch, n_items].
        rows: the evaluation rows that contain the batch.
        start: the index of the batch's first row among the evaluation rows.

    Returns:
        ``scores``.
    """
    if rows.sampled is None:
        return without_history(scores, rows, start)
    stop = start + len(scores)
    right = rows.positives.take(np.arange(start, stop))
    row, item = rows.drawn(start, stop)
    out = np.ones(scores.shape, dtype=bool)
    out[np.repeat(np.arange(len(scores)), right.sizes()), right.values] = False
    out[row, item] = False
    return scores.masked_fill_(torch.from_numpy(out).to(scores.device), -torch.inf)


def without_history(scores: torch.Tensor, rows: EvalRows, start: int) -> torch.Tensor:
    """Set the scores of items in each row's history to minus infinity, in place, and return the scores.

    Args:
        scores: float [batch, n_items].
        rows: the evaluation rows that contain the batch.
        start: the index of the batch's first row among the evaluation rows.
    """
    offsets = rows.history.offsets[start : start + len(scores) + 1]
    if offsets[0] < offsets[-1]:
        place = np.repeat(np.arange(len(scores)) * scores.shape[1], np.diff(offsets))
        place += rows.history.values[offsets[0] : offsets[-1]]
        scores.view(-1)[torch.from_numpy(place).to(scores.device)] = -torch.inf
    return scores


def _hide(scores: torch.Tensor, pairs: torch.Tensor | None, person: Ids) -> None:
    """Set the scores of items that must not be recommended to a row's user to minus infinity, in place.

    Args:
        scores: float [batch, n_items].
        pairs: the hidden pairs (user id, item id), int64 [n, 2], in ascending order; None for none.
        person: int64 [batch], the user id of each row.
    """
    if pairs is None or not len(pairs):
        return
    whose, item = pairs.cpu().numpy().T
    first, last = (np.searchsorted(whose, person, side) for side in ("left", "right"))
    row = np.repeat(np.arange(len(person)), last - first)
    scores[
        torch.from_numpy(row).to(scores.device), torch.from_numpy(item[ranges(first, last)]).to(scores.device)
    ] = -torch.inf


def top_items(model: Recommender, rows: EvalRows, k: int, masked: bool = True, batch_rows: int = 4096) -> Ids:
    """Return the item ids of the ``k`` best items of each row, best first: int64 [rows, k].

    Items that score minus infinity are not listed: if a row has fewer than ``k`` candidates, the rest of its list is 0.
    If a row has a NaN score, its whole list is -1. The other arguments are those of :func:`score_batches`.
    """
    best = np.zeros((len(rows.inputs), k), dtype=np.int64)
    for start, scores in score_batches(model, rows, masked, batch_rows):
        best[start : start + len(scores)] = best_of(scores, k, rows, start)
    return best


def without_nan(scores: torch.Tensor) -> torch.Tensor:
    """Return the scores with NaN replaced by minus infinity; if there is no NaN, return the same tensor."""
    if scores.sum().isnan():  # cheaper than testing each score; also true for inf - inf
        return scores.nan_to_num(-torch.inf, torch.inf, -torch.inf)
    return scores


def best_of(scores: torch.Tensor, k: int, rows: EvalRows | None = None, start: int = 0) -> Ids:
    """Return the item ids of the ``k`` best items of each row, as in :func:`top_items`.

    A row's list depends only on the scores of this row and on the tokens of its user and of the items (a token is an id
    as the data files spell it). A shorter list is always the beginning of a longer one.

    Args:
        scores: float [batch, n_items], not modified.
        k: length of the lists.
        rows: the evaluation rows. The tokens of user and items break ties (:mod:`~recbole.evaluator.ties`). If None,
            ties are broken by a hash of the item id, in the same way for all rows.
        start: the index of the batch's first row in ``rows``.

    Returns:
        int64 [batch, k] item ids, best first.
    """
    return ranked(scores, k, rows, start)[0]


def ranked(scores: torch.Tensor, k: int, rows: EvalRows | None = None, start: int = 0) -> tuple[Ids, int]:
    """Return the top-k lists of :func:`best_of`, which explains the arguments, and the number of rows with a tie at k.

    In a row with a tie at k, the item at rank k has the same score as an item that is not in the list.

    Returns:
        ``(lists, number)``: item ids, int64 [batch, k], and the number of these rows.
    """
    best = np.zeros((len(scores), k), dtype=np.int64)
    width = min(k, scores.shape[1])
    given, scores = scores, without_nan(scores)
    item = _largest(scores, min(k + 1, scores.shape[1]))
    value, order = scores.gather(1, item).sort(dim=1, descending=True, stable=True)
    equal = (value[:, 1:] == value[:, :-1]) & (value[:, 1:] > -torch.inf)
    item, crossing = item.gather(1, order)[:, :width], equal[:, k - 1 :].any(dim=1)
    tied = equal.any(dim=1).nonzero().squeeze(1)
    if len(tied):
        order_of, chosen = Order.of(rows, tied, start, scores.shape[1]), item[tied]
        further = crossing[tied].nonzero().squeeze(1)
        if len(further):
            both = torch.stack([tied[further], further])
            chosen[further] = order_of.first(scores, value[both[0], k - 1], k, both, _largest)
        item[tied] = order_of.sorted(chosen, scores[tied[:, None], chosen])
    best[:, :width] = torch.where(value[:, :width] > -torch.inf, item, 0).cpu().numpy()
    if given is not scores:
        best[given.isnan().any(dim=1).cpu().numpy()] = UNKNOWN
    return best, int(crossing.sum())


def _largest(scores: torch.Tensor, k: int) -> torch.Tensor:
    """Return the column indices of the ``k`` largest scores of each row, int64 [rows, k], in no particular order.

    On a CPU the scores are divided into blocks of :data:`_BLOCK` scores. The ``k`` blocks with the largest maxima are
    found by the same method. The ``k`` largest scores are in these blocks, or among the last few scores in no block.
    """
    n, device = scores.shape[1], scores.device
    if device.type != "cpu":
        return torch.topk(scores, k, dim=1, sorted=False).indices
    if n <= 2 * _BLOCK * k:
        return torch.from_numpy(np.argpartition(scores.cpu().numpy(), n - k, axis=1)[:, n - k :]).to(device)
    n_blocks = n // _BLOCK
    whole = n_blocks * _BLOCK
    maxima = scores[:, :whole].unflatten(1, (_BLOCK, n_blocks)).amax(dim=1)
    blocks = _largest(maxima, k).unsqueeze(2) + torch.arange(0, whole, n_blocks, device=device)
    rest = torch.arange(whole, n, device=device).expand(len(scores), -1)
    place = torch.cat([blocks.flatten(1), rest], dim=1)
    return place.gather(1, _largest(scores.gather(1, place), k))


def member(items: Ids, sets: Ragged, n_items: int) -> Mask:
    """Return whether each recommended item is in a set of items that belongs to the row, bool [rows, k].

    Args:
        items: int64 [rows, k], recommended item ids; 0 (the end of a list) is never in a set.
        sets: the item ids of each row's set.
        n_items: the number of item ids, including the padding.
    """
    row = np.repeat(np.arange(len(sets)), sets.sizes())
    keys = np.sort(row * n_items + sets.values)
    asked = np.arange(len(items))[:, None] * n_items + items
    if not len(keys):
        return np.zeros(items.shape, dtype=bool)
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return (keys[at] == asked) & (items > 0)
