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


def check_metrics(config: Config) -> None:
    """Refuse metrics that there are not, and a ``valid_metric`` that is not among those computed, naming its place.

    Raises:
        UserError: in one line.
    """
    given = config.as_dict()  # to check a setting is not to read it
    asked = EvalSettings.from_config(given, f"metrics ({config.where('metrics')})")
    possible = []
    for name, metric in zip(given["metrics"], asked.metrics, strict=True):
        possible += [name] if isinstance(metric, OfScores) else [f"{name}@{k}" for k in asked.topk]
    valid_metric = given["valid_metric"]
    if valid_metric.lower() not in map(str.lower, possible):
        raise UserError(
            f"valid_metric {valid_metric!r} ({config.where('valid_metric')}) is not among the metrics computed "
            f"(metrics at topk): possible are {', '.join(possible)}"
        )
