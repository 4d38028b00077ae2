"""How well a model recommends: full ranking over the catalogue."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recbole.data import EvalRows
from recbole.evaluator.asked import Asked, Batches
from recbole.evaluator.kinds import Floats, Ids, Mask, Recommender, Settings, Values
from recbole.evaluator.metrics import OfLists, OfScores, PerRow
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
        n_items: the number of ids, padding included.
        settings: which metrics, at which list lengths.
    """

    best: Ids
    hits: Mask
    n_right: Ids
    of_scores: dict[str, Floats]
    n_items: int
    settings: EvalSettings

    @property
    def unknown(self) -> Mask:
        """Which rows have a score that is no number, bool [rows]: their metrics are NaN."""
        return self.best[:, 0] == UNKNOWN

    def per_row(self) -> dict[tuple[str, int | None], Floats]:
        """Return the values of every row, float64 [rows]; the metrics of lists have none."""
        found: dict[tuple[str, int | None], Floats] = {}
        for metric in self.settings.metrics:
            name = metric.name.lower()
            if isinstance(metric, PerRow):
                values = np.where(self.unknown[:, None], np.nan, metric(self.hits, self.n_right))
                found.update({(name, k): values[:, k - 1] for k in self.settings.topk})
            elif isinstance(metric, OfScores):
                found[name, None] = np.where(self.unknown, np.nan, self.of_scores[name])
        return found

    def means(self, populations: dict[str, Mask]) -> dict[str, Values]:
        """Return the metrics of each population (bool [rows]), in the order of the settings; NaN for nobody."""
        rows = self.per_row()
        return {name: self._means(rows, chosen) for name, chosen in populations.items()}

    def of_lists(self, populations: dict[str, Mask]) -> dict[str, Values]:
        """Return the metrics of all rows together, such as coverage, of each population (bool [rows])."""
        return {name: self._means({}, chosen) for name, chosen in populations.items()}

    def _means(self, rows: dict[tuple[str, int | None], Floats], chosen: Mask) -> Values:
        found: Values = {}
        for metric in self.settings.metrics:
            name = metric.name.lower()
            if isinstance(metric, OfLists):
                known = not self.unknown[chosen].any()
                values = metric(self.best[chosen], self.n_items) if known else np.full(self.best.shape[1], np.nan)
                found.update({(name, k): float(values[k - 1]) for k in self.settings.topk})
            else:
                found.update({key: mean(rows[key][chosen]) for key in rows if key[0] == name})
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

    def note(start: int, scores: torch.Tensor) -> None:
        if metrics:
            plain = scores.float().cpu().numpy()
            labels = _labels(rows, start, plain)
            for metric in metrics:
                of_scores[metric.name.lower()][start : start + len(scores)] = metric(plain, labels)
        if each is not None:
            each(start, scores)

    noted = note if metrics or each is not None else None
    best = Asked.of(model).lists(rows, max(settings.topk), batch_rows=settings.batch_size, each=noted)
    hits = member(best, rows.positives, model.n_items)
    return Answers(best, hits, rows.positives.sizes(), of_scores, model.n_items, settings)


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
    values = found.means({"all": np.ones(len(found.best), dtype=bool)})["all"]
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
    found = utility(model, rows, EvalSettings(metrics, topk, shown.batch_size))
    if found.unknown.any():
        raise UserError("training diverged: a score in validation is not a number; try a smaller learning_rate")
    values = found.means({"all": np.ones(len(found.best), dtype=bool)})["all"]
    names = {one.name.lower() for one in shown.metrics}
    result = {
        result_name(name, at): value
        for (name, at), value in values.items()
        if name in names and (at is None or at in shown.topk)
    }
    return result, values[metric.name.lower(), k]
