"""Recommendation quality: metrics of rankings of the whole catalogue, or of candidates sampled from it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recbole.data import EvalRows
from recbole.evaluator.asked import Asked, Batches
from recbole.evaluator.kinds import Floats, Ids, Mask, Recommender, Settings, Values
from recbole.evaluator.metric_kinds import OfAllPairs, OfItems, OfLists, OfScores, PerRow, Popularity
from recbole.evaluator.pairs import Collector, Key, Pairs
from recbole.evaluator.scores import UNKNOWN, member
from recbole.evaluator.settings import EvalSettings, result_name, split_name
from recbole.utils import UserError
from recbole.utils.distributed import interleaved, rank, world_size


@dataclass(frozen=True)
class Answers:
    """A model's recommended lists, hits and scores on some evaluation rows (rankings).

    They suffice to compute all metrics of the settings for any subset of the rows.

    Attributes:
        best: int64 [rows, max(topk)], the recommended item ids, best first; 0 after the end of a list. If a row has a
            NaN score, its whole list is -1.
        hits: bool [rows, max(topk)], whether each recommended item is relevant.
        n_right: int64 [rows], the number of relevant items of each row.
        of_scores: the values of metrics of class :class:`OfScores`, float64 [rows], by the metric's lower-case name.
        pairs: the inputs of metrics over ranks of relevant items and over scored items.
        n_items: the number of item ids, including padding.
        settings: which metrics, at which list lengths.
        popularity: the items' popularity; None if no metric needs it.
    """

    best: Ids
    hits: Mask
    n_right: Ids
    of_scores: dict[str, Floats]
    pairs: Pairs
    n_items: int
    settings: EvalSettings
    popularity: Popularity | None = None

    @property
    def unknown(self) -> Mask:
        """Bool [rows], True for rows with a NaN score, whose metrics are all NaN."""
        return self.best[:, 0] == UNKNOWN

    def per_row(self) -> dict[Key, Floats]:
        """Compute the metrics that have one value per row: float64 [rows], by metric and list length."""
        found: dict[Key, Floats] = {}
        for metric in self.settings.metrics:
            name = metric.name.lower()
            if isinstance(metric, PerRow):
                values = np.where(self.unknown[:, None], np.nan, metric(self.hits, self.n_right))
                found.update({(name, k): values[:, k - 1] for k in self.settings.topk})
            elif isinstance(metric, OfItems) and self.popularity is not None:
                values = np.where(self.unknown[:, None], np.nan, metric(self.best.clip(0), self.popularity))
                found.update({(name, k): values[:, k - 1] for k in self.settings.topk})
            elif isinstance(metric, OfScores):
                found[name, None] = np.where(self.unknown, np.nan, self.of_scores[name])
        return found

    def samples(self) -> list[tuple[dict[Key, Floats], Ids]]:
        """Return the single values whose means are the metrics.

        There are up to three samples: values per evaluation row, per relevant item, and per scored item.

        Returns:
            One pair ``(values, row)`` for each sample that a metric needs. ``values`` is a dict from (metric, list
                length) to float64 [n]; for RMSE these are the squared errors. ``row``, int64 [n], is the index of the
                evaluation row that each value belongs to.
        """
        every = np.arange(len(self.best))
        of_right = self.pairs.of_right(self.settings, self.unknown)
        of_scored = self.pairs.of_scored(self.settings, self.unknown)
        found = [(self.per_row(), every), (of_right, self.pairs.row), (of_scored, self.pairs.scored)]
        return [sample for sample in found if sample[0]]

    def means(self) -> Values:
        """Return the value of each metric over all rows, in the order of the settings; NaN if there are no rows."""
        found: Values = {
            key: mean(np.ascontiguousarray(part)) for values, _ in self.samples() for key, part in values.items()
        }
        roots = self.settings.roots
        found = {key: value**0.5 if key[0] in roots else value for key, value in found.items()}
        found |= self.of_all({"all": np.ones(len(self.best), dtype=bool)})["all"]
        order = [metric.name.lower() for metric in self.settings.metrics]
        return dict(sorted(found.items(), key=lambda item: order.index(item[0][0])))

    def of_all(self, populations: Mapping[str, Mask]) -> dict[str, Values]:
        """Return the values of metrics that are not means, such as item coverage, for groups of rows.

        Args:
            populations: name of a group to bool [rows], True for rows of the group.

        Returns:
            Name of a group to the values by metric and list length.
        """
        return {name: self._of_all(chosen) for name, chosen in populations.items()}

    def _of_all(self, chosen: Mask) -> Values:
        """Return the values of :meth:`of_all` for the chosen rows (bool [rows]); NaN if any row has a NaN score."""
        found: Values = {}
        known = not self.unknown[chosen].any()
        for metric in self.settings.metrics:
            name = metric.name.lower()
            if isinstance(metric, OfLists):
                values = metric(self.best[chosen], self.n_items) if known else np.full(self.best.shape[1], np.nan)
                found.update({(name, k): float(values[k - 1]) for k in self.settings.topk})
            elif isinstance(metric, OfAllPairs):
                found[name, None] = self.pairs.of_all(metric, chosen) if known else float("nan")
        return found

    def gathered(self) -> "Answers":
        """Return the results for all rows; each distributed process has evaluated a part of them."""
        of_scores = {name: interleaved(part) for name, part in self.of_scores.items()}
        return replace(
            self,
            best=interleaved(self.best),
            hits=interleaved(self.hits),
            n_right=interleaved(self.n_right),
            of_scores=of_scores,
            pairs=self.pairs.gathered(),
        )


def mean(values: NDArray[Any]) -> float:
    """Return the mean, or NaN for an empty array."""
    return float(np.mean(values)) if len(values) else float("nan")


def answer(model: Recommender, rows: EvalRows, settings: EvalSettings, each: Batches | None = None) -> Answers:
    """Evaluate a model on some rows, keeping only one batch of scores in memory at a time.

    Args:
        model: any recommender.
        rows: the evaluation rows.
        settings: which metrics, at which list lengths.
        each: a callback that also receives every batch of scores, as described for :meth:`Asked.lists`; None for none.
    """
    metrics = [metric for metric in settings.metrics if isinstance(metric, OfScores)]
    of_scores = {metric.name.lower(): np.empty(len(rows.inputs)) for metric in metrics}

    collector = Collector(rows, settings)

    def note(start: int, scores: torch.Tensor) -> None:
        if collector:
            collector.add(start, scores)
        if metrics:
            plain = scores.float().cpu().numpy()
            labels = _labels(rows, start, plain)
            for metric in metrics:
                of_scores[metric.name.lower()][start : start + len(scores)] = metric(plain, labels)
        if each is not None:
            each(start, scores)

    noted = note if metrics or collector or each is not None else None
    best = Asked.of(model).lists(rows, max(settings.topk), batch_rows=settings.batch_size, each=noted)
    hits = member(best, rows.positives, model.n_items)
    popular = settings.popularity(rows) if any(isinstance(one, OfItems) for one in settings.metrics) else None
    n_right = rows.positives.sizes()
    return Answers(best, hits, n_right, of_scores, collector.pairs(), model.n_items, settings, popular)


def _labels(rows: EvalRows, start: int, scores: np.ndarray) -> Mask:
    """Return which items are both candidates and relevant, bool [batch, n_items].

    Args:
        rows: the evaluation rows.
        start: the index of the batch's first row among the evaluation rows.
        scores: float [batch, n_items], minus infinity for items that are no candidates.
    """
    right = rows.positives.take(np.arange(start, start + len(scores)))
    labels = np.zeros(scores.shape, dtype=bool)
    labels[np.repeat(np.arange(len(scores)), right.sizes()), right.values] = True
    return labels & (scores > -np.inf)


def utility(model: Recommender, rows: EvalRows, settings: EvalSettings) -> Answers:
    """Evaluate a model on all rows. Several distributed processes share the work.

    Each process then scores a part of the rows, and every process returns the results for all rows.
    """
    if world_size() == 1:
        return answer(model, rows, settings)
    return answer(model, rows.take(np.arange(rank(), len(rows.inputs), world_size())), settings).gathered()


def mean_utility(model: Recommender, rows: EvalRows, config: Settings) -> dict[str, float]:
    """Return RecBole's result dictionary, ``{"recall@10": float, ...}``, averaged over all rows; NaN if there are none.

    Args:
        model: any recommender.
        rows: the evaluation rows.
        config: its ``metrics``, ``topk`` and ``eval_batch_size`` are read.

    Raises:
        UserError: a metric is unknown.
    """
    found = utility(model, rows, EvalSettings.from_config(config))
    values = found.means()
    return {result_name(metric, k): value for (metric, k), value in values.items()}


def validation(model: Recommender, rows: EvalRows, config: Settings) -> tuple[dict[str, float], float]:
    """Return the result dictionary of :func:`mean_utility`, and the value of the metric in ``valid_metric``.

    If that metric is not among ``metrics``, or its list length is not in ``topk``, the dictionary does not contain it.

    Args:
        model: any recommender.
        rows: the validation rows.
        config: its ``metrics``, ``topk``, ``eval_batch_size`` and ``valid_metric`` are read.

    Raises:
        UserError: a metric is unknown, or a score is NaN.
    """
    shown = EvalSettings.from_config(config)
    metric, k = split_name(str(config["valid_metric"]))
    metrics = shown.metrics if metric in shown.metrics else (*shown.metrics, metric)
    topk = shown.topk if k is None or k in shown.topk else (*shown.topk, k)
    found = utility(model, rows, replace(shown, metrics=metrics, topk=topk))
    if found.unknown.any():
        raise UserError("training diverged: a score in validation is not a number; try a smaller learning_rate")
    values = found.means()
    names = {one.name.lower() for one in shown.metrics}
    result = {
        result_name(name, at): value
        for (name, at), value in values.items()
        if name in names and (at is None or at in shown.topk)
    }
    return result, values[metric.name.lower(), k]
