"""What an evaluation computes: read from the configuration once, checked before any work."""

from dataclasses import dataclass
from typing import Self

from recbole.config import Config
from recbole.evaluator.kinds import Settings
from recbole.evaluator.metrics import Metric, OfScores, find_metric
from recbole.utils import UserError


@dataclass(frozen=True)
class EvalSettings:
    """What an evaluation computes.

    Attributes:
        metrics: which, in the order of the result rows.
        topk: list lengths, in the order of the result rows.
        batch_size: at most so many rows are scored at a time.
    """

    metrics: tuple[Metric, ...]
    topk: tuple[int, ...]
    batch_size: int

    @classmethod
    def from_config(cls, config: Settings, told: str = "metrics") -> Self:
        """Read ``metrics``, ``topk`` and ``eval_batch_size``.

        Args:
            config: the run's configuration.
            told: what names the metrics, for the message.

        Raises:
            UserError: for an unknown metric.
        """
        metrics = tuple(find_metric(name, told) for name in config["metrics"])
        return cls(metrics, tuple(config["topk"]), config["eval_batch_size"])


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
    if isinstance(metric, OfScores) != (not at) or (at and not (k.isdecimal() and int(k) > 0)):
        form = metric.name if isinstance(metric, OfScores) else f"{metric.name}@10"
        raise UserError(f"{told}: {name!r} should be of the form {form}")
    return metric, int(k) if at else None


def check_metrics(config: Config) -> None:
    """Refuse metrics that there are not, in ``metrics`` and in ``valid_metric``, naming the place.

    Raises:
        UserError: in one line.
    """
    given = config.as_dict()  # to check a setting is not to read it
    EvalSettings.from_config(given, f"metrics ({config.where('metrics')})")
    split_name(given["valid_metric"], f"valid_metric ({config.where('valid_metric')})")
