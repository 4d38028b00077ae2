"""The steps of a preparation in their order: command line, raw files, what their items are, the files written."""

import argparse
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.config.rules import SEED
from recbole.data.baskets import Baskets
from recbole.generators.artefact_names import REPEATED, repeated_category
from recbole.generators.basket_files import item_tokens, of_users, write_baskets
from recbole.generators.forget_set import RULES
from recbole.generators.raw_log import RawBaskets, RawInteractions, read_filled
from recbole.prepare import program
from recbole.prepare.check import check, note_source
from recbole.prepare.download import download
from recbole.prepare.raw_table import RawTable
from recbole.utils import OneLineParser, UserError, atomic_write, stream
from recbole.utils.staging import staged

FRACTIONS: dict[str, tuple[float, ...]] = {"CF": (1e-4, 1e-5, 1e-6), "SBR": (1e-4, 1e-5, 1e-6), "NBR": (1e-3,)}


def command_line(
    description: str | None,
    folder: Path,
    wanted: str,
    ratings: tuple[float, float] | None = None,
    by_number: bool = False,
) -> argparse.Namespace:
    """Parse the command line of a preparation; with ``--check`` the program ends here, see `check`.

    Args:
        description: what the help says first; its line breaks are kept.
        folder: the data set's, where to write by default.
        wanted: says which files the folder of ``--from`` must hold.
        ratings: the data's lowest and highest rating, or None if it has none.
        by_number: whether ``--subset`` may be a number of users too.

    Returns:
        The options: ``source`` (or ``None``), ``output``, ``name`` (of the data set to write), ``subset`` (a share as
        float, a number of users as int, or ``None``), ``seed``, ``rating_threshold``.

    Raises:
        UserError: the subset is no share, the seed is out of range, the threshold is no rating, or a count differs.
        SystemExit: as argparse does; and after a check that found nothing.
    """
    command = OneLineParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--from", dest="source", type=Path, metavar="DIR", help=f"a folder with {wanted}")
    command.add_argument(
        "--output", type=Path, default=folder, metavar="DIR", help="where to write (default: %(default)s)"
    )
    threshold = "ask only for interactions rated R or better, as ERASE does (default: for all; the names stay the same)"
    command.add_argument(
        "--rating_threshold", type=float, metavar="R", help=threshold if ratings else argparse.SUPPRESS
    )
    numbers = f"; or {folder.name}_N, with N users, N from 2 on" if by_number else ""
    command.add_argument(
        "--subset", metavar="S", help=f"write {folder.name}_test, with a share S of the users, beside it{numbers}"
    )
    command.add_argument(
        "--seed", type=int, default=2, metavar="N", help="which users the subset has (default: %(default)s)"
    )
    command.add_argument(
        "--check", action="store_true", help="only hold the counts of what was prepared against the published ones"
    )
    options = command.parse_args()
    if not SEED.meets(options.seed):
        raise UserError(f"--seed should be {SEED.told}, not {options.seed}")
    _check_threshold(options.rating_threshold, folder.name, ratings)
    options.name = folder.name
    if options.subset is not None:
        options.subset = _subset(options.subset, by_number)
        options.name += f"_{options.subset}" if isinstance(options.subset, int) else "_test"
        if options.output == folder:
            options.output = folder.with_name(options.name)
    if options.check:
        check(options, folder)
        raise SystemExit(0)
    return options


def _check_threshold(threshold: float | None, name: str, ratings: tuple[float, float] | None) -> None:
    if threshold is None:
        return
    if ratings is None:
        raise UserError(f"--rating_threshold: {name} has no ratings")
    low, high = ratings
    if not low <= threshold <= high:
        raise UserError(f"--rating_threshold: the ratings of {name} are from {low:g} to {high:g}, not {threshold:g}")


def _subset(text: str, by_number: bool) -> float:
    if by_number and text.isdecimal() and int(text) > 1:
        return int(text)
    try:
        share = float(text)
    except ValueError:
        share = 0
    if not 0 < share <= 1:
        numbers = ", or a number of users from 2 on" if by_number else ""
        raise UserError(f"--subset: a share from 0 to 1, such as 0.01{numbers}, not {text}")
    return share


def source_folder(
    options: argparse.Namespace,
    folder: Path,
    wanted: str,
    urls: Mapping[str, str] | None = None,
    sha256: Mapping[str, str] | None = None,
) -> Path:
    """Return the folder of the raw files: that of ``--from``, or ``raw`` in the data set's, filled from ``urls``.

    Args:
        options: see `command_line`.
        folder: the data set's.
        wanted: says which files are needed.
        urls: dict from file names to addresses; ``None`` where the files can only be had by hand.
        sha256: dict from file names to what is known of their content.

    Raises:
        UserError: there is no such folder, the files are to be had by hand, or they cannot be fetched.
    """
    if options.source:
        if not options.source.is_dir():
            raise UserError(f"--from: there is no folder {options.source}")
        return options.source
    if urls is None:
        raise UserError(
            f"this data set has to be fetched by hand, see {folder / 'README.md'}; then give --from DIR, a folder with "
            f"{wanted}"
        )
    for name, url in urls.items():
        path = folder / "raw" / name
        if not path.is_file():
            known = (sha256 or {}).get(name)
            program.say(f"fetching {url}{'' if known else ' (its content cannot be checked: no SHA-256 is known)'}")
            download(url, path, known)
    return folder / "raw"


def shared_items(categories: Mapping[str, pa.Array], items: pa.Array, rules_path: str | Path) -> dict[str, list[str]]:
    """Return a dict from each category to its items (list of str) that the data have.

    Args:
        categories: dict from categories to Arrow string arrays of items.
        items: Arrow string array, the items of the data.
        rules_path: the file of rules, for the message.

    Raises:
        UserError: a category has none, which means other data or another id space.
    """
    kept = {category: listed.filter(pc.is_in(listed, items)).to_pylist() for category, listed in categories.items()}
    for category, own in kept.items():
        if not own:
            raise UserError(
                f"{rules_path}: category '{category}': none of its {len(categories[category])} items is among the "
                f"{len(items)} of the data; are the files of one release?"
            )
    return kept


def write_log(
    options: argparse.Namespace,
    task: str,
    log: RawTable,
    categories: Mapping[str, Sequence[str]],
    read: Mapping[str, int],
    min_sensitive: int = 0,
    min_remaining: int = 0,
) -> None:
    """Write the ``.inter`` file, the lists and the forget sets.

    Args:
        options: see `command_line`.
        task: ``CF`` or ``SBR``.
        log: a `RawTable`.
        categories: dict from categories to lists of item tokens, see `shared_items`.
        read: how much the raw files held, see `note_source`.
        min_sensitive, min_remaining: what `RawInteractions` asks of users who may ask.
    """
    if options.subset is not None:
        log = log.sample_users(options.subset, stream(options.seed, "subset"))
    users = len(np.unique(log.codes["user_id"]))
    program.say(f"{len(log):,} interactions of {users:,} users with {len(log.items()):,} items")
    with staged(options.output, last=f"{options.name}.inter") as folder:
        path = folder / f"{options.name}.inter"
        log.write(path)
        note_source(folder, read)
        written = RawInteractions(path, min_sensitive=min_sensitive, min_remaining=min_remaining)
        _scenarios(options, folder, task, written, categories, _askers(min_sensitive, min_remaining))


def _askers(min_sensitive: int, min_remaining: int) -> str:
    if not min_sensitive and not min_remaining:
        return ""
    return f"people with {min_sensitive} or more of them and {min_remaining} or more others"


def write_rows(
    options: argparse.Namespace,
    task: str,
    log: RawInteractions,
    categories: Mapping[str, Sequence[str]],
    fractions: Sequence[float],
    others: Sequence[str] = (),
    user_field: str = "user_id",
    parts: Sequence[str] = (),
) -> None:
    """Write the rows of a finished ``.inter`` file, or those of the subset's users, the lists and the forget sets.

    Args:
        options: see `command_line`.
        task: ``CF`` or ``SBR``.
        log: a `RawInteractions`.
        categories: dict from categories to lists of item tokens.
        fractions: shares of the log.
        others: the ends of the names of files beside the log's that are copied too.
        user_field: the log's.
        parts: the ends of the names of files beside the log's that hold rows of it, of which a subset takes its own.
    """
    with staged(options.output, last=f"{options.name}.inter") as folder:
        path = folder / f"{options.name}.inter"
        for end in others:
            _copy(log.path.with_suffix(end), path.with_suffix(end))
        if options.subset is None:
            for end in (".inter", *parts):
                _copy(log.path.with_suffix(end), path.with_suffix(end))
        else:
            log.write(path, np.flatnonzero(_drawn(options, log.users.max(initial=-1) + 1)[log.users]))
            users = read_filled(path, [user_field])[user_field].unique()
            for end in parts:
                _write_part(log.path.with_suffix(end), path.with_suffix(end), user_field, users)
        written = RawInteractions(path, user_field)
        program.say(f"{written.n_total:,} interactions of {written.users.max(initial=-1) + 1:,} users")
        _scenarios(options, folder, task, written, categories, fractions=fractions)


def _write_part(source: Path, path: Path, user_field: str, users: pa.Array) -> None:
    """Write those rows of a file that are of some users (Arrow string array)."""
    own = pc.is_in(read_filled(source, [user_field])[user_field], value_set=users)
    RawInteractions(source, user_field).write(path, np.flatnonzero(own))


def _copy(source: Path, path: Path) -> None:
    with open(source, "rb") as content, atomic_write(path, "wb") as file:
        shutil.copyfileobj(content, file)


def write_merged(
    options: argparse.Namespace,
    baskets: Baskets,
    categories: Mapping[str, Sequence[str]],
    fractions: Sequence[float] = FRACTIONS["NBR"],
    as_given: Path | None = None,
    repeated: bool = False,
    read: Mapping[str, int] | None = None,
    beside: Callable[[Path], None] | None = None,
) -> None:
    """Write the ``_merged.json`` file, the lists and the forget sets.

    Args:
        options: see `command_line`.
        baskets: a `Baskets`.
        categories: dict from categories to lists of item tokens, see `shared_items`.
        fractions: shares of the log.
        as_given: a file to copy instead of writing all of the baskets.
        repeated: whether to draw each category a second time, as `repeated_category`.
        read: how much the raw files held, see `note_source`; None where they are what is written.
        beside: writes more files of the set into the folder that it is given.
    """
    if options.subset is not None:
        baskets = of_users(baskets, _drawn(options, len(baskets.users)))
    program.say(
        f"{len(baskets.items):,} items in {len(baskets.items_per_basket):,} baskets of {len(baskets.users):,} users, "
        f"{len(item_tokens(baskets)):,} different items"
    )
    with staged(options.output, last=f"{options.name}_merged.json") as folder:
        path = folder / f"{options.name}_merged.json"
        if as_given is None or options.subset is not None:
            write_baskets(path, baskets)
        else:
            _copy(as_given, path)
        if read is not None:
            note_source(folder, read)
        if beside is not None:
            beside(folder)
        log = RawBaskets(path)
        askers = f"people who keep {log.min_baskets} baskets without them"
        _scenarios(options, folder, "NBR", log, categories, askers, fractions)
        if repeated:
            again = {repeated_category(category): listed for category, listed in categories.items()}
            often = RawBaskets(path, in_baskets=REPEATED)
            _scenarios(options, folder, "NBR", often, again, fractions=fractions, may_lack=True)


def _drawn(options: argparse.Namespace, n_users: int) -> np.ndarray:
    """Return which users the subset has, bool [users]."""
    size = options.subset if isinstance(options.subset, int) else max(1, int(n_users * options.subset))
    if size > n_users:
        raise UserError(f"--subset: {size} users are more than the {n_users} that there are")
    chosen = np.zeros(n_users, bool)
    chosen[stream(options.seed, "subset").choice(n_users, size, replace=False)] = True
    return chosen


def _scenarios(
    options: argparse.Namespace,
    folder: Path,
    task: str,
    log: RawInteractions | RawBaskets,
    categories: Mapping[str, Sequence[str]],
    askers: str = "",
    fractions: Sequence[float] | None = None,
    may_lack: bool = False,
) -> None:
    """Write the lists and the forget sets; a subset, or one that ``may_lack`` them, goes without those of nobody."""
    threshold = options.rating_threshold
    if options.subset is not None:
        categories = {category: _shared(listed, log.items) for category, listed in categories.items()}
    if options.subset is not None or may_lack:
        absent = [category for category, own in categories.items() if not log.sensitive(own, threshold).any()]
        if absent:
            program.say(f"nobody can ask for: {', '.join(absent)} (left out)")
        categories = {category: own for category, own in categories.items() if category not in absent}
    fractions = fractions or FRACTIONS[task]
    program.write_scenarios(folder, options.name, log, categories, fractions, RULES[task], threshold, askers)


def _shared(listed: Sequence[str], items: pa.Array) -> list[str]:
    """Return the listed items (list of str) that are among ``items`` (Arrow string array)."""
    tokens = pa.array(listed, pa.string())
    return tokens.filter(pc.is_in(tokens, items)).to_pylist()
