"""The frame of every ``dataset/<name>/prepare.py``: how it ends, what it tells, and its lists and forget sets."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from recbole.generators.artefact_names import forget_set_name, sensitive_method
from recbole.generators.forget_set import generate
from recbole.generators.raw_log import RawBaskets, RawInteractions
from recbole.generators.sensitive_lists import write_sensitive_items
from recbole.utils import UserError
from recbole.utils.ending import ended

Draw: TypeAlias = tuple[str, int, float]
"""Category, seed and fraction of a forget set."""

SEEDS = (2, 3, 5, 7, 11)


def run(main: Callable[[], None]) -> None:
    """Run ``main()`` and exit: 0, or, with one line on the standard error stream, 2 (a user's error) or what
    :func:`~recbole.utils.ending.ended` says of a signal.

    What it writes is `staged`, so that an interrupted preparation leaves the data set as it was.
    """

    def work() -> int:
        main()
        return 0

    if status := ended("error", work, "nothing was changed"):
        sys.exit(status)


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(text, flush=True)


def write_scenarios(
    folder: Path,
    dataset: str,
    log: RawInteractions | RawBaskets,
    categories: Mapping[str, Sequence[str]],
    fractions: Sequence[float],
    rule: str,
    rating_threshold: float | None = None,
    askers: str = "",
) -> dict[Draw, dict[str, Any]]:
    """Write the list and the forget sets of each category and print a table of them.

    Args:
        folder: where to.
        dataset: the data set's name, for the files' names.
        log: a `RawInteractions` or a `RawBaskets`.
        categories: dict from a category to its item tokens.
        fractions: shares of the log.
        rule: ``A`` or ``B``.
        rating_threshold: see `RawInteractions.sensitive`.
        askers: who may ask, if not everybody, for a message.

    Returns:
        dict: from (category, seed, fraction) to the report of `recbole.generators.forget_set.generate`.

    Raises:
        UserError: a category has no items, or nobody may ask for them.
    """
    reports: dict[Draw, dict[str, Any]] = {}
    for category, items in categories.items():
        if not items:
            raise UserError(f"no item of the data belongs to the category '{category}'")
        listed = write_sensitive_items(folder, category, items)
        say(f"wrote {listed.name}: {len(set(items))} items; drawing {len(SEEDS) * len(fractions)} forget sets")
        sensitive = log.sensitive(items, rating_threshold)
        if not sensitive.any():
            rated = "" if rating_threshold is None else f" with a rating of {rating_threshold:g} or better"
            raise UserError(
                f"category '{category}': its {len(set(items))} items have no interaction{rated} that may be asked for"
                f"{f' (only {askers} may ask)' if askers else ''}"
            )
        for seed in SEEDS:
            for fraction in fractions:
                name = forget_set_name(dataset, sensitive_method(category), seed, fraction, log.extension)
                reports[category, seed, fraction] = generate(log, sensitive, folder / name, seed, fraction, rule)
    _print_table(categories, fractions, reports)
    return reports


def _print_table(
    categories: Mapping[str, Sequence[str]], fractions: Sequence[float], reports: Mapping[Draw, dict[str, Any]]
) -> None:
    say(f"\nseed {SEEDS[0]}: requests/interactions to forget, by fraction of the log")
    say(f"{'category':<18}{'items':>7}{'interactions':>14}" + "".join(f"{fraction:>13}" for fraction in fractions))
    for category, items in categories.items():
        own = [reports[category, SEEDS[0], fraction] for fraction in fractions]
        sizes = [f"{report['users']}/{report['rows']}" for report in own]
        say(f"{category:<18}{len(set(items)):>7}{own[0]['available']:>14}" + "".join(f"{size:>13}" for size in sizes))
