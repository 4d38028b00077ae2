"""Time that the requests of an unlearning run took, their speed-up over retraining, and their outcomes."""

import math
from collections.abc import Iterable

from recbole.report.records import Record

CPU_COSTS = ("CPU s/request", "speed-up")
"""Headings of the costs of one request in CPU seconds, summed over all threads."""

COSTS = ("s/request", "CPU s/request", "speed-up", "CPU speed-up")
"""Headings of the costs of one request, in wall-clock seconds and in CPU seconds summed over all threads."""

AMORTISED = ("amortised", "CPU amortised")
"""Headings of the time of one retraining / the time of all requests, in wall-clock seconds and in CPU seconds."""

_OUTCOMES = ("applied", "reinitialised", "skipped", "timeout", "diverged")
_NAN = float("nan")


def costs(record: Record) -> dict[str, float]:
    """Return the costs of the requests and their speed-up over retraining.

    Returns:
        A value for each heading in ``COSTS`` and ``AMORTISED``, in seconds or as a ratio. Unknown values are NaN, for
        example without a retrained model. Ratios are NaN if no request changed the model.
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
    """Return the seconds that rebuilding the base model took, by the headings ``s/request`` and ``CPU s/request``.

    Rebuilding recomputes only what the model derives from the data, such as a graph, from the rows that are retained at
    ``checkpoint``. Unknown values are NaN.
    """
    kept = (record["timing"].get(name) or [] for name in ("rebuilt_seconds", "rebuilt_cpu_seconds"))
    return dict(zip(COSTS, (seconds[checkpoint] if checkpoint < len(seconds) else _NAN for seconds in kept),
                    strict=False))  # fmt: skip


def cpu_costs(record: Record) -> dict[str, float]:
    """Return the mean CPU seconds of the requests that required work, and retraining's CPU seconds divided by them.

    Returns:
        A value for each heading in ``CPU_COSTS``; unknown values are NaN.
    """
    requests, timing = record["requests"], record["timing"]
    each = timing.get("cpu_seconds_mean")
    if each is not None and "worked" not in requests:  # in older files the mean includes skipped requests
        worked = requests["total"] - requests["skipped"]
        each = each * requests["total"] / worked if worked else None
    return dict(zip(CPU_COSTS, (_known(each), _ratio(_known(timing.get("retraining_cpu_seconds")), _known(each))),
                    strict=True))  # fmt: skip


def outcomes(records: Iterable[Record]) -> list[str]:
    """Return texts such as "3 applied": the number of requests for each outcome that occurs, summed over runs."""
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
