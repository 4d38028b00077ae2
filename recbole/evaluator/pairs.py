"""What metrics of places and of pairs are computed of, collected a batch of scores at a time."""

from dataclasses import dataclass

import numpy as np
import torch

from recbole.data import EvalRows
from recbole.evaluator.kinds import Floats, Ids, Mask
from recbole.evaluator.metric_kinds import OfAllPairs, OfPairs, OfPlaces, OfPlacesAt, Places
from recbole.evaluator.settings import EvalSettings
from recbole.utils.distributed import concatenated, rank, world_size

Key = tuple[str, int | None]
"""A metric and its list length, if it has one."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of a row and an item.

    Attributes:
        row: int64 [n], the row of each right item that has a wrong candidate, ascending.
        places: where it stands.
        scored: int64 [m], the row of each item whose score is held against a label.
        scores: float32 [m].
        labels: bool [m].
    """

    row: Ids
    places: Places
    scored: Ids
    scores: np.ndarray
    labels: Mask

    def of_right(self, settings: EvalSettings, unknown: Mask) -> dict[Key, Floats]:
        """Return the values of each right item, float64 [n], by metric and list length; NaN of unknown rows."""
        found: dict[Key, Floats] = {}
        for metric in settings.metrics:
            if isinstance(metric, OfPlaces):
                found[metric.name.lower(), None] = metric(self.places)
            elif isinstance(metric, OfPlacesAt):
                found |= {(metric.name.lower(), k): metric(self.places, k) for k in settings.topk}
        return {key: np.where(unknown[self.row], np.nan, values) for key, values in found.items()}

    def of_scored(self, settings: EvalSettings, unknown: Mask) -> dict[Key, Floats]:
        """Return the values of each scored item, float64 [m]; NaN of unknown rows; of a root what it is taken of."""
        metrics = [metric for metric in settings.metrics if isinstance(metric, OfPairs)]
        scores = np.where(unknown[self.scored], np.nan, self.scores.astype(np.float64))
        return {(metric.name.lower(), None): metric(scores, self.labels) for metric in metrics}

    def of_all(self, metric: OfAllPairs, chosen: Mask) -> float:
        """Return the value of all scored items of the chosen rows (bool [rows]) together."""
        some = chosen[self.scored]
        return metric(self.scores[some].astype(np.float64), self.labels[some])

    def gathered(self) -> "Pairs":
        """Return the pairs of all processes, of which each has put each n-th row, ordered by row."""
        whole = [concatenated(part) for part in (*self.places, self.scores, self.labels)]
        row, scored = (concatenated(part * world_size() + rank()) for part in (self.row, self.scored))
        order, other = np.argsort(row, kind="stable"), np.argsort(scored, kind="stable")
        *places, scores, labels = whole
        return Pairs(row[order], Places(*(p[order] for p in places)), scored[other], scores[other], labels[other])


class Collector:
    """Collects the pairs of batches of scores that come one after another.

    Args:
        rows: the questions.
        settings: the metrics; what none of them needs is not collected.
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
        """Take a batch of scores, [batch, n_items], minus infinity for what is no candidate, with its first row."""
        if self.ranks:
            row, *places = _places(self.rows, start, scores)
            self._right.append((row + start, *places))
        found = self.rows.pairs(start, start + len(scores)) if self.values else None
        if found is not None:
            row, item, labels = found
            at = (torch.from_numpy(part).to(scores.device) for part in (row, item))
            self._scored.append((row + start, scores[tuple(at)].float().cpu().numpy(), labels))

    def pairs(self) -> Pairs:
        """Return what was collected."""
        none = np.empty(0, dtype=np.int64)
        row, *places = (
            (np.concatenate([none, *part]) for part in zip(*self._right, strict=True)) if self._right else [none] * 4
        )
        scored = [np.concatenate(part) for part in zip(*self._scored, strict=True)]
        scored = scored or [none, np.empty(0, dtype=np.float32), np.empty(0, dtype=bool)]
        return Pairs(row, Places(*places), *scored)


def _places(rows: EvalRows, start: int, scores: torch.Tensor) -> tuple[Ids, Ids, Ids, Ids]:
    """Return the row of each right item of a batch that has a wrong candidate, and its place: int64 [n] each.

    A right item that is no candidate itself stands behind all others, or behind one where there are none.
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
