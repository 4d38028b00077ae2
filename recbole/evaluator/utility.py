"""How well a model recommends: full ranking over the catalogue, or over a sample of it."""

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
    """What a model answers to some rows, so that any population of them has its metrics.

    Attributes:
        best: int64 [rows, max(topk)], the recommended items, best first; 0 is none, -1 a row whose scores are not
            numbers, of which nothing is known.
        hits: bool [rows, max(topk)], whether they are right.
        n_right: int64 [rows], how many items would be right.
        of_scores: float64 [rows] for each metric of scores, by lower-case name.
        pairs: what metrics of places and of pairs are computed of.
        n_items: the number of ids, padding included.
        settings: which metrics, at which list lengths.
        popularity: of the items, where a metric asks for it.
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
        """Which rows have a score that is no number, bool [rows]: their metrics are NaN."""
        return self.best[:, 0] == UNKNOWN

    def per_row(self) -> dict[Key, Floats]:
        """Return the values of every row, float64 [rows]; metrics of pairs and of all lists have none."""
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
        """Return what means are taken of: values, float64 [n] each, and the row of each of the n, int64 [n].

        These are the values of rows, of right items and of scored items; of a metric with a root, what that is of.
        """
        every = np.arange(len(self.best))
        of_right = self.pairs.of_right(self.settings, self.unknown)
        of_scored = self.pairs.of_scored(self.settings, self.unknown)
        found = [(self.per_row(), every), (of_right, self.pairs.row), (of_scored, self.pairs.scored)]
        return [sample for sample in found if sample[0]]

    def means(self) -> Values:
        """Return the metrics over all rows, in the order of the settings; NaN for nobody."""
        found: Values = {
            key: mean(np.ascontiguousarray(part)) for values, _ in self.samples() for key, part in values.items()
        }
        roots = self.settings.roots
        found = {key: value**0.5 if key[0] in roots else value for key, value in found.items()}
        found |= self.of_all({"all": np.ones(len(self.best), dtype=bool)})["all"]
        order = [metric.name.lower() for metric in self.settings.metrics]
        return dict(sorted(found.items(), key=lambda item: order.index(item[0][0])))

    def of_all(self, populations: Mapping[str, Mask]) -> dict[str, Values]:
        """Return the metrics of all rows together, such as coverage, of each population (bool [rows])."""
        return {name: self._of_all(chosen) for name, chosen in populations.items()}

    def _of_all(self, chosen: Mask) -> Values:
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
        """Return the answers of all processes, of which each has put its share of the rows."""
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
    """Return the mean, NaN of nothing."""
    return float(np.mean(values)) if len(values) else float("nan")


def answer(model: Recommender, rows: EvalRows, settings: EvalSettings, each: Batches | None = None) -> Answers:
    """Put the rows to a model, holding one bounded batch of scores at a time.

    Args:
        model: any recommender.
        rows: the questions.
        settings: what is computed.
        each: also gets every batch of scores: see :meth:`Asked.lists`.
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
    """Return which candidates of a batch are right, bool [batch, n_items]."""
    right = rows.positives.take(np.arange(start, start + len(scores)))
    labels = np.zeros(scores.shape, dtype=bool)
    labels[np.repeat(np.arange(len(scores)), right.sizes()), right.values] = True
    return labels & (scores > -np.inf)


def utility(model: Recommender, rows: EvalRows, settings: EvalSettings) -> Answers:
    """Put the rows to a model. Of several processes each scores its share of them, and all get the whole result."""
    if world_size() == 1:
        return answer(model, rows, settings)
    return answer(model, rows.take(np.arange(rank(), len(rows.inputs), world_size())), settings).gathered()


def mean_utility(model: Recommender, rows: EvalRows, config: Settings) -> dict[str, float]:
    """Return RecBole's result dictionary, ``{"recall@10": float, ...}``, over all rows; NaN without any.

    Args:
        model: any recommender.
        rows: the questions.
        config: reads ``metrics``, ``topk``, ``eval_batch_size``.

    Raises:
        UserError: for an unknown metric.
    """
    found = utility(model, rows, EvalSettings.from_config(config))
    values = found.means()
    return {result_name(metric, k): value for (metric, k), value in values.items()}


def validation(model: Recommender, rows: EvalRows, config: Settings) -> tuple[dict[str, float], float]:
    """Return :func:`mean_utility` and the value of ``valid_metric``, which is computed whether or not it is among them.

    Args:
        model: any recommender.
        rows: the validation rows.
        config: reads ``metrics``, ``topk``, ``eval_batch_size``, ``valid_metric``.

    Raises:
        UserError: a score is no number.
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
