"""What an evaluation computes: read from the configuration once, checked before any work."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from recbole.config import Config
from recbole.evaluator.kinds import Settings
from recbole.evaluator.metric_kinds import Metric, OfPairs, Popularity
from recbole.evaluator.metrics import METRICS, find_metric
from recbole.utils import UserError

if TYPE_CHECKING:
    from recbole.data import EvalRows

_TAIL_RATIO = 0.1
"""RecBole's, where none is said."""


@dataclass(frozen=True)
class EvalSettings:
    """What an evaluation computes.

    Attributes:
        metrics: which, in the order of the result rows.
        topk: list lengths, in the order of the result rows.
        batch_size: at most so many rows are scored at a time.
        tail_ratio: the share of items, fewest interactions first, that count as rare; above 1, the largest number of
            interactions that a rare item has.
    """

    metrics: tuple[Metric, ...]
    topk: tuple[int, ...]
    batch_size: int
    tail_ratio: float = _TAIL_RATIO

    @classmethod
    def from_config(cls, config: Settings, told: str = "metrics") -> Self:
        """Read ``metrics``, ``topk``, ``eval_batch_size`` and, where it is set, ``tail_ratio``.

        Args:
            config: the run's configuration.
            told: what names the metrics, for the message.

        Raises:
            UserError: for an unknown metric.
        """
        metrics = tuple(find_metric(name, told) for name in config["metrics"])
        tail_ratio = config.get("tail_ratio") or _TAIL_RATIO
        return cls(metrics, tuple(config["topk"]), config["eval_batch_size"], tail_ratio)

    @property
    def roots(self) -> frozenset[str]:
        """The metrics, by lower-case name, that are the square root of a mean."""
        return frozenset(one.name.lower() for one in self.metrics if isinstance(one, OfPairs) and one.root)

    def popularity(self, rows: "EvalRows") -> Popularity:
        """Return how popular items are in the data that the model of some rows was trained on."""
        counts = rows.training_counts
        there = np.flatnonzero(counts)
        if self.tail_ratio > 1:
            rare = there[counts[there] <= self.tail_ratio]
        else:
            rare = there[np.argsort(counts[there], kind="stable")][: max(int(len(there) * self.tail_ratio), 1)]
        tail = np.zeros(len(counts), dtype=bool)
        tail[rare] = True
        return Popularity(counts, tail)


def result_name(metric: str, k: int | None) -> str:
    """Return RecBole's name of a result, such as ``recall@10``; that of a metric without lists is its name alone."""
    return metric if k is None else f"{metric}@{k}"


def split_name(name: str, told: str = "valid_metric") -> tuple[Metric, int | None]:
    """Return the metric and the list length that a name such as ``Recall@10`` means.

    Raises:
        UserError: there is no such metric, or it has a length where it should have none, or the other way about.
    """
    word, at, k = name.partition("@")
    metric = find_metric(word, told)
    if metric.cut != bool(at) or (at and not (k.isdecimal() and int(k) > 0)):
        form = f"{metric.name}@10" if metric.cut else metric.name
        raise UserError(f"{told}: {name!r} should be of the form {form}")
    return metric, int(k) if at else None


def check_metrics(config: Config) -> None:
    """Refuse metrics that there are not, in ``metrics`` and in ``valid_metric``, naming the place.

    Raises:
        UserError: in one line.
    """
    given = config.as_dict()  # to check a setting is not to read it
    settings = EvalSettings.from_config(given, f"metrics ({config.where('metrics')})")
    metric, _ = split_name(given["valid_metric"], f"valid_metric ({config.where('valid_metric')})")
    mode = given["eval_args"]["mode"]
    for split in ("valid", "test"):
        for one in settings.metrics:
            _check_mode(one, split, mode[split], f"metrics ({config.where('metrics')})")
    _check_mode(metric, "valid", mode["valid"], f"valid_metric ({config.where('valid_metric')})")
    bigger = config.where("valid_metric_bigger")
    if given["valid_metric_bigger"] == metric.smaller and metric.name.lower() in METRICS:
        told = "smaller" if metric.smaller else "larger"
        raise UserError(f"valid_metric_bigger ({bigger}): of {metric.name} the {told} value is better; leave it out")


def _check_mode(metric: Metric, split: str, mode: str, told: str) -> None:
    """Refuse a metric that has no meaning in the mode of a split."""
    where = f"{told}: {metric.name}"
    if metric.of_values and mode == "full":
        raise UserError(
            f"{where} holds scores against labels, and eval_args mode of {split} is full, which has none: ask for "
            "uni100, pop100 or labeled; GAUC is the area under the curve over a full ranking"
        )
    if not metric.of_values and mode == "labeled":
        raise UserError(
            f"{where} ranks candidates, and eval_args mode of {split} is labeled, which has none: ask for AUC, "
            "LogLoss, MAE or RMSE"
        )
