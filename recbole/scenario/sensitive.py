"""The scenario of sensitive items: users request to forget their interactions with items of a sensitive category.

The interactions of all requests together are the forget set.
"""

from __future__ import annotations

import hashlib
import os
from itertools import product
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from recbole.generators.artefact_names import baskets_said, forget_set_name, forget_set_names, sensitive_method
from recbole.scenario.base import Scenario
from recbole.scenario.making import Made, Source, once
from recbole.utils import UserError, sha256_of_file
from recbole.utils.flag import Flag

if TYPE_CHECKING:
    import argparse

    from recbole.config import Config
    from recbole.generators.raw_log import RawBaskets, RawInteractions
    from recbole.unlearning.request import Requests

_LONGEST_STEM, _STEM_KEPT = 40, 31  # bytes
METHOD, FORGET_SEED = "unlearning_sample_selection_method", "unlearn_sample_selection_seed"


class Sensitive(Scenario):
    """Users request to forget their interactions with sensitive items. Runs that select no other scenario use this one.

    The forget set (the interactions to forget) is sampled by make_forget_set.py, or is a file that the user supplies
    with ``--forget_set``.
    """

    name = "sensitive"
    flags = (
        Flag("sensitive_category", str, "category of items to be forgotten, such as meat"),
        Flag("forget_set", str, "your own file of what is to be forgotten, instead of one drawn by make_forget_set.py"),
        Flag(METHOD, str, "name of the forget set (default: sensitive_category_<--sensitive_category>)"),
    )
    making_flags = (
        Flag("sensitive_category", str, "categories, such as horror; 'all': every category with a list", nargs="+"),
        Flag(
            "rating_threshold",
            float,
            "forget only interactions with at least this rating, as ERASE does (default: all interactions)",
        ),
        Flag(
            "stopping_rule",
            str,
            "whether to include the user who makes the total exceed the share: A, only if that is closer to the share "
            "than without the user; B, always (default: A for CF, else B)",
            choices=("A", "B"),
        ),
        Flag(
            "min_baskets",
            int,
            "NBR: forget only items that occur in at least this many of the user's baskets (default: 1, all items); "
            "above 1 the file lists (user, item) pairs, .inter. Categories called ..._repeated (Ta-Feng) need 2",
        ),
    )

    @classmethod
    def chosen(cls, config: Config) -> bool:
        """Return True: this is the scenario of every run that selects no other."""
        return True

    def settle(self) -> None:
        """Set the name of the forget set, which file names contain, from its category or from the user's own file.

        Raises:
            UserError: ``forget_set`` names the user's own file, and another setting selects another forget set.
        """
        config = self.config
        if config["forget_set"] is not None:
            for key, value in own_forget_set(config).items():
                config[key] = value
        elif config[METHOD] is None and config["sensitive_category"] is not None:
            config[METHOD] = sensitive_method(config["sensitive_category"])

    def part_of_names(self) -> str:
        """Return the part of file names that says what is forgotten: fraction and seed, and the forget set's name.

        For a forget set from the user's own file, this is only the name.
        """
        from recbole.trainer.names import draw_part

        config = self.config
        fraction = config["unlearning_fraction"]
        draw = "" if fraction is None else draw_part(float(fraction), config["seed"], config[FORGET_SEED]) + "_"
        return f"{draw}{METHOD}_{config[METHOD]}"

    def requests(self) -> Requests:
        """Read the forget set, and return one request for each user (SBR: session) in it.

        Raises:
            UserError: the forget set is missing or malformed, or none of its interactions is in the data.
        """
        from recbole.generators.order import order_requests
        from recbole.scenario.files.forget_set_reader import find_forget_set, read_forget_set
        from recbole.unlearning.request import find_requests

        config, dataset = self.config, self.dataset
        path = find_forget_set(config, dataset.task_type)
        forget_set = read_forget_set(
            path, dataset.task_type, dataset.uid_field, dataset.iid_field, config["field_separator"]
        )
        if self.listed is None and None in forget_set.items:
            raise UserError(f"{path} lists users but no items: select the items to forget with --sensitive_category")
        ordered = order_requests(set(forget_set.entities))
        return find_requests(dataset, forget_set.entities, forget_set.items, ordered, forget_set.sha256, self.listed)

    @classmethod
    def wanted(cls, asked: argparse.Namespace) -> bool:
        """Return whether the arguments name a sensitive category."""
        return bool(asked.sensitive_category)

    @classmethod
    def make(cls, asked: argparse.Namespace, source: Source) -> Made | None:
        """Sample and write a forget set for each category, seed and fraction, and print a line about each.

        Args:
            asked: the arguments of make_forget_set.py.
            source: the data to sample from, and the fractions and seeds of the samples.

        Returns:
            The first forget set that is not empty, or ``None`` if all are empty.

        Raises:
            UserError: a fraction is not in (0, 1], a list of sensitive items is missing, or no interaction with a
                category's items can be forgotten.
        """
        from recbole.generators.forget_set import RULES
        from recbole.generators.sensitive_lists import read_sensitive_items

        bad = [fraction for fraction in source.fractions if not 0 < fraction <= 1]
        if bad:
            raise UserError(f"--unlearning_fraction must be between 0 and 1, not {bad[0]}")
        folder, in_baskets = Path(source.config["data_path"]), _in_baskets(source, asked.min_baskets)
        categories = _categories(source, asked.sensitive_category, in_baskets)
        lists = {category: read_sensitive_items(folder, category) for category in categories}
        log = _raw_log(source, in_baskets)
        paths = {
            draw: folder / _free_name(source, log.extension, sensitive_method(draw[0]), *draw[1:])
            for draw in product(categories, source.seeds, source.fractions)
        }
        sensitive = {category: log.sensitive(items, asked.rating_threshold) for category, items in lists.items()}
        for category, rows in sensitive.items():
            if not rows.any():
                raise UserError(
                    f"{source.path}: no interaction with an item of '{category}' can be forgotten; check that the "
                    "listed items are in this file, that users have enough other interactions, and that neither "
                    "--rating_threshold nor --min_baskets excludes all"
                )
        rule = asked.stopping_rule or RULES[source.task]
        dataset, filled = source.config["dataset"], []
        print(f"{dataset} ({source.task}): {log.n_total:,} interactions in {source.path}; stopping rule {rule}")
        for category, rows in sensitive.items():
            print(f"\n{category}: {len(lists[category]):,} items listed, {rows.sum():,} interactions may be forgotten")
            print(f"{'seed':>6}{'fraction':>10}{'requests':>10}{'interactions':>14}{'items':>8}{'reached':>10}  file")
            for seed, fraction in product(source.seeds, source.fractions):
                if _draw(log, rows, paths[category, seed, fraction], seed, fraction, rule):
                    filled.append(Made(f"--sensitive_category {quote(category)}", fraction, seed))
        return filled[0] if filled else None


def own_forget_set(config: Config) -> dict[str, Any]:
    """Return the settings that follow from the user's own forget-set file, the setting ``forget_set``.

    The file's name (:func:`short_stem`) becomes the name of the forget set, which file names contain. The fraction and
    the seed of the forget set are None, because nothing is sampled.

    Returns:
        Dict from setting name to value.

    Raises:
        UserError: another setting selects another forget set.
    """
    asked = config.asked
    implied = {METHOD: short_stem(config["forget_set"]), "unlearning_fraction": None, FORGET_SEED: None}
    others = [key for key in implied if key in asked and config[key] not in (None, implied[key])]
    if others:
        raise UserError(contradiction(config, others[0]))
    return implied


def contradiction(config: Config, other: str) -> str:
    """Return the error message for settings that select a forget set twice: by ``forget_set`` and by ``other``.

    Args:
        config: the run's settings.
        other: the key of the other setting.
    """
    either, other = (f"{key} {config[key]} ({config.asked[key]})" for key in ("forget_set", other))
    return f"{either} and {other} both say what is to be forgotten: give only one of them"


def short_stem(path: str) -> str:
    """Return a file's name without its extension, shortened to at most 40 bytes.

    A longer name is cut to 31 bytes, followed by a hyphen and 8 hexadecimal digits of the SHA-256 of the whole name.
    The reason is that the result becomes part of longer file names, and file systems allow at most 255 bytes.
    """
    stem = Path(path).stem
    content = os.fsencode(stem)
    if len(content) <= _LONGEST_STEM:
        return stem
    return f"{content[:_STEM_KEPT].decode(errors='ignore')}-{hashlib.sha256(content).hexdigest()[:8]}"


def _draw(log: RawInteractions | RawBaskets, rows: Any, path: Path, seed: int, fraction: float, rule: str) -> bool:
    """Sample and write one forget set, print a line about it, and return whether it is not empty.

    Args:
        log: the data to sample from, n interactions.
        rows: bool [n], True for the interactions that may be forgotten.
        path: the file to write.
        seed: the seed of the sample.
        fraction: fraction of the log's interactions to forget, above 0 and at most 1.
        rule: ``A`` or ``B``: whether to take the user who exceeds the fraction only if that is closer, or always.
    """
    from recbole.generators.forget_set import generate

    before = sha256_of_file(path) if path.is_file() else None
    made = generate(log, rows, path, seed, fraction, rule)
    numbers = f"{made['users']:>10,}{made['rows']:>14,}{made['items']:>8,}{made['achieved']:>10.2g}"
    print(f"{seed:>6}{fraction:>10}{numbers}  {path.name}{_news(made, before, path)}")
    return bool(made["rows"])


def _news(made: dict[str, Any], before: str | None, path: Path) -> str:
    """Return a remark on a forget set that was written: whether it is empty, unchanged, or replaces another one.

    Args:
        made: the numbers that ``generate`` returned.
        before: SHA-256 of the file before it was written; None if there was none.
        path: the file.
    """
    if not made["rows"]:
        return " (EMPTY: the first user alone has at least twice the fraction; use a larger --unlearning_fraction)"
    return "" if before is None else " (unchanged)" if before == sha256_of_file(path) else " (REPLACES another draw)"


def _free_name(source: Source, extension: str, method: str, seed: int, fraction: float) -> str:
    """Return the file name of a forget set to be written.

    Args:
        source: the data set's name, folder and task are read.
        extension: file extension.
        method: name of the forget set, such as ``sensitive_category_horror``.
        seed: the seed of the sample.
        fraction: share of the interactions to forget.

    Raises:
        UserError: the folder has the same forget set in another format, so that a run could not tell which one to use.
    """
    folder, dataset = Path(source.config["data_path"]), source.config["dataset"]
    name = forget_set_name(dataset, method, seed, fraction, extension)
    for other in forget_set_names(dataset, method, seed, fraction, source.task):
        if other != name and (folder / other).exists():
            raise UserError(
                f"{folder / other} exists, and would be read as the same forget set as {name}: delete or rename it"
            )
    return name


def _in_baskets(source: Source, asked: int | None) -> int:
    """Return the minimum number of a user's baskets that must contain an item for the user to request its removal.

    Args:
        source: the data to sample from.
        asked: the value of ``--min_baskets``; None for the default, 1.

    Raises:
        UserError: ``--min_baskets`` is less than 1, or is given for data without baskets.
    """
    if asked is None:
        return 1
    if source.task != "NBR":
        raise UserError(f"--min_baskets {asked} applies only to NBR: {source.path} ({source.task}) has no baskets")
    if asked < 1:
        raise UserError(f"--min_baskets must be 1 or more, not {asked}")
    return asked


def _categories(source: Source, asked: list[str], in_baskets: int) -> list[str]:
    """Return the sensitive categories to make forget sets for, without repetition.

    ``all`` stands for every category that has a list of items. In next-basket data, categories called ``..._repeated``
    are meant for items that a user buys repeatedly: ``all`` includes only these if ``in_baskets`` is above 1, and only
    the others if it is 1.

    Args:
        source: the data to sample from.
        asked: the values of ``--sensitive_category``.
        in_baskets: minimum number of a user's baskets that must contain an item (:func:`_in_baskets`).

    Raises:
        UserError: no category has a list of items, or a category for repeated items is given without
            ``--min_baskets``.
    """
    folder, repeated = Path(source.config["data_path"]), in_baskets > 1
    if asked != ["all"]:
        for category in asked:
            said = baskets_said(category, source.task)
            if said > 1 and not repeated:
                raise UserError(f"the forget sets of '{category}' are for repeated items: set --min_baskets {said}")
        return once(asked)
    from recbole.generators.sensitive_lists import list_categories

    found = [name for name in list_categories(folder) if (baskets_said(name, source.task) > 1) == repeated]
    if not found:
        raise UserError(f"there is no list of sensitive items (sensitive_asins_<category>.txt) in {folder}")
    return found


def _raw_log(source: Source, in_baskets: int) -> RawInteractions | RawBaskets:
    """Read the data to sample from; ``in_baskets`` is the result of :func:`_in_baskets`, for next-basket data."""
    from recbole.generators.raw_log import RawBaskets, RawInteractions

    config = source.config
    user, item, rating = (config[key] for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "RATING_FIELD"))
    if source.task == "NBR":
        least = config["MIN_NBR_BASKET_COUNT"]
        return RawBaskets(source.path, least, in_baskets, user, item, config["field_separator"])
    least = {key: config[key] or 0 for key in ("min_sensitive", "min_remaining")}
    return RawInteractions(source.path, user, item, rating, config["field_separator"], **least)
