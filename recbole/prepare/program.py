"""Parts that all ``dataset/<name>/prepare.py`` scripts share: exit status, progress messages, writing forget sets.

A forget set lists interactions with sensitive items that randomly drawn users request to forget.
"""

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
"""The category of sensitive items, the seed and the fraction (share of all interactions) of a forget set."""

SEEDS = (2, 3, 5, 7, 11)
"""Seeds with which forget sets are drawn."""


def run(main: Callable[[], None]) -> None:
    """Run a function as a program. If it does not succeed, end the process with an exit status.

    The status is 2 after a user error, and 128 plus the signal's number after a signal. Both are explained in one line
    on the standard error stream, which says that nothing was changed.

    Args:
        main: the function. It should write its files with `recbole.utils.staging.staged`, which replaces all files
            together at the end, so that nothing has indeed changed if it is interrupted.
    """

    def work() -> int:
        main()
        return 0

    if status := ended("error", work, "nothing was changed"):
        sys.exit(status)


def say(text: str) -> None:
    """Print a line of text at once, without buffering."""
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

    One forget set is drawn for each category, each of the five `SEEDS` and each fraction.

    Args:
        folder: the folder to write to.
        dataset: the data set's name, with which the files' names begin.
        log: the interactions, or in next-basket recommendation the baskets, from which the forget sets are drawn.
        categories: dict from the name of a category of sensitive items to the ids (tokens) of its items.
        fractions: shares of all interactions that a forget set should contain.
        rule: ``A`` or ``B``, which says when to stop adding users, see `recbole.generators.forget_set.choose`.
        rating_threshold: only interactions with at least this rating can be forgotten; None for all.
        askers: text for error messages that says which users may request to forget something; empty if all may.

    Returns:
        A dict from (category, seed, fraction) to the numbers of users, interactions and so on in the forget set, see
        `recbole.generators.forget_set.generate`.

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
    """Print a table of the sizes of the forget sets of the first seed: the numbers of users and of interactions.

    Args:
        categories: dict from the name of a category to its sensitive items.
        fractions: the forget sets' shares of all interactions, one column each.
        reports: dict from (category, seed, fraction) to the numbers that `recbole.generators.forget_set.generate`
            returned.
    """
    say(f"\nforget sets of seed {SEEDS[0]}: requests/interactions to forget, for each fraction of the log")
    say(f"{'category':<18}{'items':>7}{'interactions':>14}" + "".join(f"{fraction:>13}" for fraction in fractions))
    for category, items in categories.items():
        own = [reports[category, SEEDS[0], fraction] for fraction in fractions]
        sizes = [f"{report['users']}/{report['rows']}" for report in own]
        say(f"{category:<18}{len(set(items)):>7}{own[0]['available']:>14}" + "".join(f"{size:>13}" for size in sizes))
