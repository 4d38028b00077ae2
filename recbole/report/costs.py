"""Time that the requests of an unlearning run took, their speed-up over retraining, and their outcomes."""

import math
from collections.abc import Iterable

from recbole.report.records import Record

CPU_COSTS = ("CPU s/request", "speed-up")
"""Names of two costs: CPU seconds of one request, and CPU seconds of retraining / CPU seconds of one request.

CPU seconds are summed over all threads.
"""

COSTS = ("s/request", "CPU s/request", "speed-up", "CPU speed-up")
"""Headings of the columns about one request: its seconds, and how much longer retraining takes (speed-up).

Both are given in wall-clock seconds and in CPU seconds, which are summed over all threads.
"""

AMORTISED = ("amortised", "CPU amortised")
"""Headings of the ratio: time of one retraining / time of all requests, in wall-clock seconds and in CPU seconds."""

_OUTCOMES = ("applied", "reinitialised", "skipped", "timeout", "diverged")
_NAN = float("nan")


def costs(record: Record) -> dict[str, float]:
    """Return what the requests of an unlearning run cost, and how much faster they were than retraining.

    Args:
        record: the record of the run.

    Returns:
        Heading (those in ``COSTS`` and ``AMORTISED``) to seconds or ratio. Unknown values are NaN, for example without
        a retrained model. All ratios are NaN if no request changed the model.
    """
    timing, each_cpu = record["timing"], cpu_costs(record)
    each, retraining = _known(timing.get("seconds_mean")), _known(timing.get("retraining_seconds"))
    faster = _known(timing.get("speedup_over_retraining")) if math.isnan(retraining) else _ratio(retraining, each)
    worked = _known(record["requests"].get("worked"))
    values = [faster, each_cpu["speed-up"], _ratio(retraining, _known(timing.get("seconds_total")))]
    values += [_ratio(each_cpu["speed-up"], worked)]
    if changed(record) == 0:
        values = [_NAN] * len(values)
    return dict(zip((*COSTS, *AMORTISED), (each, each_cpu["CPU s/request"], *values), strict=True))


def rebuild_costs(record: Record, checkpoint: int) -> dict[str, float]:
    """Return the wall-clock and CPU seconds that rebuilding the base model took.

    Rebuilding recomputes only what the model derives from the data, such as a graph, without the interactions that are
    forgotten at the checkpoint.

    Args:
        record: the record of the run.
        checkpoint: number of the checkpoint, 0 to 3.

    Returns:
        The headings ``s/request`` and ``CPU s/request`` to seconds; NaN where unknown.
    """
    kept = (record["timing"].get(name) or [] for name in ("rebuilt_seconds", "rebuilt_cpu_seconds"))
    return dict(zip(COSTS, (seconds[checkpoint] if checkpoint < len(seconds) else _NAN for seconds in kept),
                    strict=False))  # fmt: skip


def cpu_costs(record: Record) -> dict[str, float]:
    """Return the mean CPU seconds of the requests that required work, and the CPU seconds of retraining / this mean.

    Returns:
        The two names in ``CPU_COSTS`` to these values; NaN where unknown.
    """
    requests, timing = record["requests"], record["timing"]
    each = timing.get("cpu_seconds_mean")
    if each is not None and "worked" not in requests:  # in older files the mean includes skipped requests
        total, skipped = requests.get("total", 0), requests.get("skipped", 0)
        each = each * total / (total - skipped) if total > skipped else None
    return dict(zip(CPU_COSTS, (_known(each), _ratio(_known(timing.get("retraining_cpu_seconds")), _known(each))),
                    strict=True))  # fmt: skip


def outcomes(records: Iterable[Record]) -> list[str]:
    """Return a text such as "3 applied" for each outcome that occurs: how many requests of all runs ended with it."""
    counts = [record["requests"] for record in records]
    totals = {kind: sum(count.get(kind, 0) for count in counts) for kind in _OUTCOMES}
    return [f"{count} {kind}" for kind, count in totals.items() if count]


def changed(record: Record) -> int | None:
    """Return how many requests changed the model; None if the record does not contain the outcomes of requests."""
    requests = record["requests"]
    return requests["applied"] + requests.get("reinitialised", 0) if "applied" in requests else None


def failed(record: Record) -> int:
    """Return how many requests timed out or diverged."""
    return int(sum(record["requests"].get(kind, 0) for kind in ("timeout", "diverged")))


def _known(value: float | None) -> float:
    """Return ``value``, or NaN for None."""
    return _NAN if value is None else value


def _ratio(above: float, below: float) -> float:
    """Return ``above / below``, or NaN if ``below`` is 0."""
    return above / below if below else _NAN
