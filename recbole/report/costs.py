"""What the requests of an unlearning run cost, and how they ended."""

from collections.abc import Iterable

from recbole.report.records import Record

WALL_COSTS = ("s/request", "speed-up")
CPU_COSTS = ("CPU s/request", "speed-up")
"""Headings of the columns of costs, by the wall clock and of the CPU in all threads."""

_OUTCOMES = ("applied", "skipped", "timeout", "diverged")


def wall_costs(record: Record) -> dict[str, float | None]:
    """Return the mean seconds of a request that had something to do, and retraining's seconds over that.

    Returns:
        By the headings of ``WALL_COSTS``; None where it is not known, such as when nobody had anything to do.
    """
    timing = record["timing"]
    values = (timing.get("seconds_mean"), timing.get("speedup_over_retraining"))
    return dict(zip(WALL_COSTS, values, strict=True))


def cpu_costs(record: Record) -> dict[str, float]:
    """Return the mean CPU seconds of a request that had something to do, and retraining's CPU seconds over that.

    Returns:
        By the headings of ``CPU_COSTS``; NaN where it is not known.
    """
    requests, timing = record["requests"], record["timing"]
    each = timing["cpu_seconds_mean"]
    if "worked" not in requests:  # an older file: its mean is over all requests, skipped ones too
        worked = requests["total"] - requests["skipped"]
        each = each * requests["total"] / worked if worked else None
    each = float("nan") if each is None else each
    retraining = timing.get("retraining_cpu_seconds", float("nan"))  # not known without the retrained model
    return dict(zip(CPU_COSTS, (each, retraining / each), strict=True))


def outcomes(records: Iterable[Record]) -> list[str]:
    """Return the requests of some runs by outcome, summed, as texts such as "3 applied"; nothing of what never was."""
    counts = [record["requests"] for record in records]
    totals = {kind: sum(count[kind] for count in counts) for kind in _OUTCOMES}
    return [f"{count} {kind}" for kind, count in totals.items() if count]
