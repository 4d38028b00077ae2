"""Parts that all ``dataset/<name>/prepare.py`` scripts share: exit status, progress messages, writing forget sets."""

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
"""Sensitive category, seed and fraction (share of the log) of a forget set."""

SEEDS = (2, 3, 5, 7, 11)
"""Seeds with which forget sets are drawn."""


def run(main: Callable[[], None]) -> None:
    """Run ``main()`` as a program, and exit with a status if it does not succeed.

    The status is 2 after a user error, and 128 plus the signal's number after a signal, each with one line on the
    standard error stream (:func:`~recbole.utils.ending.ended`). ``main`` should write its files with `staged`, so that
    an interrupted preparation leaves the data set unchanged.
    """

    def work() -> int:
        main()
        return 0

    if status := ended("error", work, "nothing was changed"):
        sys.exit(status)


def say(text: str) -> None:
    """Print a line about the progress at once, without buffering."""
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
    """Write the list of sensitive items and the forget sets of each category, and print a table of their sizes.

    Args:
        folder: the folder to write to.
        dataset: the data set's name, for file names.
        log: the interactions (CF, SBR) or baskets (NBR).
        categories: dict from a category to the tokens of its sensitive items.
        fractions: shares of the log to forget; one forget set is drawn for each seed and share.
        rule: the stopping rule of `recbole.generators.forget_set.choose`, ``A`` or ``B``.
        rating_threshold: forget only interactions with at least this rating; None for all.
        askers: text for messages that says which users may submit requests; empty if all may.

    Returns:
        Dict from (category, seed, fraction) to the report of `recbole.generators.forget_set.generate`.

    Raises:
        UserError: a category has no items in the data, or no user may request to forget them.
    """
    reports: dict[Draw, dict[str, Any]] = {}
    for category, items in categories.items():
        if not items:
            raise UserError(f"no item in the data belongs to the category '{category}'")
        listed = write_sensitive_items(folder, category, items)
        say(f"wrote {listed.name}: {len(set(items))} items; drawing {len(SEEDS) * len(fractions)} forget sets")
        sensitive = log.sensitive(items, rating_threshold)
        if not sensitive.any():
            rated = "" if rating_threshold is None else f" with a rating of {rating_threshold:g} or better"
            raise UserError(
                f"category '{category}': there is no interaction{rated} with its {len(set(items))} items that a user "
                f"may request to forget{f' (only {askers} may submit requests)' if askers else ''}"
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
    """Print a table of the numbers of requests (users) and interactions in the forget sets of the first seed."""
    say(f"\nforget sets of seed {SEEDS[0]}: requests/interactions to forget, for each fraction of the log")
    say(f"{'category':<18}{'items':>7}{'interactions':>14}" + "".join(f"{fraction:>13}" for fraction in fractions))
    for category, items in categories.items():
        own = [reports[category, SEEDS[0], fraction] for fraction in fractions]
        sizes = [f"{report['users']}/{report['rows']}" for report in own]
        say(f"{category:<18}{len(set(items)):>7}{own[0]['available']:>14}" + "".join(f"{size:>13}" for size in sizes))
