"""The settings of an evaluation, read from the configuration once and checked before any work begins."""

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
"""RecBole's default for ``tail_ratio``."""


@dataclass(frozen=True)
class EvalSettings:
    """The settings of an evaluation.

    Attributes:
        metrics: the metrics, in the order of the result rows.
        topk: list lengths, in the order of the result rows.
        batch_size: the most rows (rankings) that are scored at once.
        tail_ratio: which items with training interactions count as the long tail. A number up to 1 is the share of
            these items, taking the rarest. A number above 1 is the largest number of training interactions of a
            long-tail item.
    """

    metrics: tuple[Metric, ...]
    topk: tuple[int, ...]
    batch_size: int
    tail_ratio: float = _TAIL_RATIO

    @classmethod
    def from_config(cls, config: Settings, told: str = "metrics") -> Self:
        """Read ``metrics``, ``topk``, ``eval_batch_size`` and ``tail_ratio`` (optional) from a configuration.

        Args:
            config: the run's configuration.
            told: the setting that lists the metrics; error messages begin with this text.

        Raises:
            UserError: a metric is unknown.
        """
        metrics = tuple(find_metric(name, told) for name in config["metrics"])
        tail_ratio = config.get("tail_ratio") or _TAIL_RATIO
        return cls(metrics, tuple(config["topk"]), config["eval_batch_size"], tail_ratio)

    @property
    def roots(self) -> frozenset[str]:
        """The lower-case names of the metrics that are the square root of a mean (RMSE)."""
        return frozenset(one.name.lower() for one in self.metrics if isinstance(one, OfPairs) and one.root)

    def popularity(self, rows: "EvalRows") -> Popularity:
        """Return how often each item occurs in the training data, and which items are in the long tail.

        Args:
            rows: the evaluation rows, which contain the training data (:attr:`EvalRows.training`).
        """
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
    """Return RecBole's name for a result: ``recall@10``, or the metric's name alone if it has no list length."""
    return metric if k is None else f"{metric}@{k}"


def split_name(name: str, told: str = "valid_metric") -> tuple[Metric, int | None]:
    """Split a name such as ``Recall@10`` into the metric and the list length (None for a metric without cut-off).

    Args:
        name: the name, as in the setting ``valid_metric``.
        told: the setting that contains the name; error messages begin with this text.

    Raises:
        UserError: the metric does not exist, lacks its list length, or has one where it takes none.
    """
    word, at, k = name.partition("@")
    metric = find_metric(word, told)
    if metric.cut != bool(at) or (at and not (k.isdecimal() and int(k) > 0)):
        form = f"{metric.name}@10" if metric.cut else metric.name
        raise UserError(f"{told}: {name!r} should be of the form {form}")
    return metric, int(k) if at else None


def check_metrics(config: Config) -> None:
    """Check that the metrics in ``metrics`` and ``valid_metric`` exist and can be computed in the evaluation modes.

    The evaluation modes are those that ``eval_args`` gives for validation and test, such as ``full`` or ``labeled``.

    Raises:
        UserError: a metric is unknown or cannot be computed in the mode, or ``valid_metric_bigger`` contradicts the
            metric. The message says which file or flag contains the setting.
    """
    given = config.as_dict()  # so that this check does not count as use of the settings
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
        raise UserError(f"valid_metric_bigger ({bigger}): for {metric.name} the {told} value is better; leave it out")


def _check_mode(metric: Metric, split: str, mode: str, told: str) -> None:
    """Check that a metric can be computed in an evaluation mode.

    Args:
        metric: the metric.
        split: ``valid`` or ``test``, for the message.
        mode: the evaluation mode of this split, such as ``full``, ``uni100`` or ``labeled``.
        told: the setting that names the metric; the message begins with this text.

    Raises:
        UserError: the metric compares scores with labels and the mode has no labels, or the other way round.
    """
    where = f"{told}: {metric.name}"
    if metric.of_values and mode == "full":
        raise UserError(
            f"{where} compares scores with labels, but the eval_args mode of {split} is full, which has no labels: use "
            "uni100, pop100 or labeled. For the area under the curve over a full ranking use the metric GAUC"
        )
    if not metric.of_values and mode == "labeled":
        raise UserError(
            f"{where} ranks candidates, but the eval_args mode of {split} is labeled, which has no candidates: use "
            "the metrics AUC, LogLoss, MAE or RMSE"
        )
