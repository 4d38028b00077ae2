"""Collects, batch by batch, the inputs of metrics over ranks of relevant items (GAUC) and scored items (LogLoss)."""

from dataclasses import dataclass

import numpy as np
import torch

from recbole.data import EvalRows
from recbole.evaluator.kinds import Floats, Ids, Mask
from recbole.evaluator.metric_kinds import OfAllPairs, OfPairs, OfPlaces, OfPlacesAt, Places
from recbole.evaluator.settings import EvalSettings
from recbole.utils.distributed import concatenated, rank, world_size

Key = tuple[str, int | None]
"""``(metric name in lower case, list length k)``; k is None for a metric that is not computed at a cut-off."""


@dataclass(frozen=True)
class Pairs:
    """Inputs of metrics: the ranks of n relevant items, and the scores of m items that are compared with labels.

    A row is one ranking of an evaluation, and a row index is its position among the evaluation rows.

    Attributes:
        row: int64 [n], the row index of each relevant item, ascending. A relevant item is left out if it is a candidate
            and its row has no irrelevant candidate.
        places: the ranks of these n items among the irrelevant candidates of their rows.
        scored: int64 [m], the row index of each item whose score is compared with a label.
        scores: float32 [m], the scores of these m items.
        labels: bool [m], their labels: whether the item is relevant.
    """

    row: Ids
    places: Places
    scored: Ids
    scores: np.ndarray
    labels: Mask

    def of_right(self, settings: EvalSettings, unknown: Mask) -> dict[Key, Floats]:
        """Compute the metrics that have one value per relevant item, such as GAUC.

        Args:
            settings: which metrics and list lengths; metrics of other kinds are left out.
            unknown: bool [rows], True for rows with a NaN score.

        Returns:
            The values, float64 [n], by metric and list length; NaN in rows with a NaN score.
        """
        found: dict[Key, Floats] = {}
        for metric in settings.metrics:
            if isinstance(metric, OfPlaces):
                found[metric.name.lower(), None] = metric(self.places)
            elif isinstance(metric, OfPlacesAt):
                found |= {(metric.name.lower(), k): metric(self.places, k) for k in settings.topk}
        return {key: np.where(unknown[self.row], np.nan, values) for key, values in found.items()}

    def of_scored(self, settings: EvalSettings, unknown: Mask) -> dict[Key, Floats]:
        """Compute the metrics that have one value per scored item, such as LogLoss.

        Args:
            settings: which metrics; those of other kinds are left out.
            unknown: bool [rows], True for rows with a NaN score.

        Returns:
            The values, float64 [m], by metric; NaN in rows with a NaN score. For RMSE these are the squared errors.
        """
        metrics = [metric for metric in settings.metrics if isinstance(metric, OfPairs)]
        scores = np.where(unknown[self.scored], np.nan, self.scores.astype(np.float64))
        return {(metric.name.lower(), None): metric(scores, self.labels) for metric in metrics}

    def of_all(self, metric: OfAllPairs, chosen: Mask) -> float:
        """Return the value of a metric over all scored items in the rows where ``chosen`` (bool [rows]) is True."""
        some = chosen[self.scored]
        return metric(self.scores[some].astype(np.float64), self.labels[some])

    def gathered(self) -> "Pairs":
        """Return the inputs collected by all distributed processes together, ordered by row.

        Of n processes, process r must have evaluated the rows r, r + n, r + 2n and so on.
        """
        whole = [concatenated(part) for part in (*self.places, self.scores, self.labels)]
        row, scored = (concatenated(part * world_size() + rank()) for part in (self.row, self.scored))
        order, other = np.argsort(row, kind="stable"), np.argsort(scored, kind="stable")
        *places, scores, labels = whole
        return Pairs(row[order], Places(*(p[order] for p in places)), scored[other], scores[other], labels[other])


class Collector:
    """Collects the inputs in :class:`Pairs` from successive batches of scores.

    In a condition (``if collector:``) the object counts as False if no metric needs these inputs.

    Args:
        rows: the evaluation rows.
        settings: the metrics, which determine what is collected.

    Attributes:
        ranks: whether the ranks of relevant items are collected.
        values: whether scores and labels are collected.
    """

    def __init__(self, rows: EvalRows, settings: EvalSettings) -> None:
        self.rows = rows
        self.ranks = any(isinstance(metric, OfPlaces | OfPlacesAt) for metric in settings.metrics)
        self.values = any(metric.of_values for metric in settings.metrics)
        self._right: list[tuple[Ids, ...]] = []
        self._scored: list[tuple[np.ndarray, ...]] = []

    def __bool__(self) -> bool:
        return self.ranks or self.values

    def add(self, start: int, scores: torch.Tensor) -> None:
        """Collect the inputs from one batch of rows.

        Args:
            start: the index of the batch's first row among the evaluation rows.
            scores: float [batch, n_items], minus infinity for items that are no candidates.
        """
        if self.ranks:
            row, *places = _places(self.rows, start, scores)
            self._right.append((row + start, *places))
        found = self.rows.pairs(start, start + len(scores)) if self.values else None
        if found is not None:
            row, item, labels = found
            at = (torch.from_numpy(part).to(scores.device) for part in (row, item))
            self._scored.append((row + start, scores[tuple(at)].float().cpu().numpy(), labels))

    def pairs(self) -> Pairs:
        """Return everything collected so far."""
        none = np.empty(0, dtype=np.int64)
        row, *places = (
            (np.concatenate([none, *part]) for part in zip(*self._right, strict=True)) if self._right else [none] * 4
        )
        scored = [np.concatenate(part) for part in zip(*self._scored, strict=True)]
        scored = scored or [none, np.empty(0, dtype=np.float32), np.empty(0, dtype=bool)]
        return Pairs(row, Places(*places), *scored)


def _places(rows: EvalRows, start: int, scores: torch.Tensor) -> tuple[Ids, Ids, Ids, Ids]:
    """Return the ranks of the relevant items in a batch, each among the irrelevant candidates of its row.

    A relevant item that is a candidate is left out if its row has no irrelevant candidate. A relevant item that is not
    a candidate ranks behind all irrelevant candidates. If there are none, it is treated as ranked behind one.

    Args:
        rows: the evaluation rows.
        start: the index of the batch's first row among the evaluation rows.
        scores: float [batch, n_items], minus infinity for items that are no candidates.

    Returns:
        Four arrays int64 [n]: the index of each relevant item's row within the batch, and ``better``, ``equal`` and
        ``wrong`` as in :class:`Places`.
    """
    right = rows.positives.take(np.arange(start, start + len(scores)))
    row = np.repeat(np.arange(len(scores)), right.sizes())
    where, item = torch.from_numpy(row).to(scores.device), torch.from_numpy(right.values).to(scores.device)
    wrong = scores.clone()
    wrong[where, item] = -torch.inf
    ascending = wrong.sort(dim=1).values
    n_wrong = (wrong > -torch.inf).sum(dim=1)
    slot = torch.from_numpy(np.arange(len(row)) - np.repeat(right.offsets[:-1], right.sizes())).to(scores.device)
    own = scores.new_full((len(scores), int(right.sizes().max(initial=1))), torch.inf)
    own[where, slot] = scores[where, item]
    less, not_more = (
        torch.searchsorted(ascending, own, right=side)[where, slot].cpu().numpy() for side in (False, True)
    )
    total, n_items = n_wrong[where].cpu().numpy(), scores.shape[1]
    better, equal = n_items - not_more, not_more - less
    hidden = (scores[where, item] == -torch.inf).cpu().numpy()
    kept, total = (total > 0) | hidden, np.maximum(total, 1)
    better, equal = np.where(hidden, total, better), np.where(hidden, 0, equal)
    return tuple(part[kept] for part in (row, better, equal, total))
