"""The steps of a ``prepare.py`` script in order: command line, raw files, sensitive items, and writing the files."""

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
"""Dict from the task to the default shares of all interactions to forget. Forget sets are drawn for each share."""


def command_line(
    description: str | None,
    folder: Path,
    wanted: str,
    ratings: tuple[float, float] | None = None,
    by_number: bool = False,
) -> argparse.Namespace:
    """Parse the command line of a ``prepare.py`` script. With ``--check``, run `check` and end the program.

    Args:
        description: the beginning of the help text, with its line breaks.
        folder: the folder of the data set. It is the default output folder, and its name is the data set's name.
        wanted: text for the help that lists the files that the folder of ``--from`` must contain.
        ratings: the lowest and highest rating in the data; None if the data have no ratings.
        by_number: whether ``--subset`` may also be a number of users.

    Returns:
        The options ``source`` (folder of raw files, or None), ``output`` (folder), ``name`` (of the data set to write),
        ``subset`` (share of the users: float; number of users: int; all: None), ``seed`` and ``rating_threshold``.

    Raises:
        UserError: the subset, the seed or the threshold is out of range, or ``--check`` found a difference.
        SystemExit: status 2 for an argument that cannot be parsed, 0 after ``--help`` or a successful check.
    """
    command = OneLineParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--from", dest="source", type=Path, metavar="DIR", help=f"a folder with {wanted}")
    command.add_argument("--output", type=Path, default=folder, metavar="DIR", help="output folder (%(default)s)")
    threshold = "forget only interactions rated R or higher, as ERASE does (default: all; file names do not change)"
    command.add_argument(
        "--rating_threshold", type=float, metavar="R", help=threshold if ratings else argparse.SUPPRESS
    )
    numbers = f"; or, with a number N of users from 2, {folder.name}_N" if by_number else ""
    command.add_argument(
        "--subset", metavar="S", help=f"write the data set {folder.name}_test with a share S of the users{numbers}"
    )
    command.add_argument("--seed", type=int, default=2, metavar="N", help="seed of the subset (default: %(default)s)")
    command.add_argument(
        "--check", action="store_true", help="write nothing; compare the prepared files' counts with published ones"
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
        raise UserError(
            f"--rating_threshold: should be between {low:g} and {high:g}, as the ratings of {name}, not {threshold:g}"
        )


def _subset(text: str, by_number: bool) -> float:
    if by_number and text.isdecimal() and int(text) > 1:
        return int(text)
    try:
        share = float(text)
    except ValueError:
        share = 0
    if not 0 < share <= 1:
        numbers = ", or a number of users from 2" if by_number else ""
        raise UserError(f"--subset: should be a share above 0, at most 1, such as 0.01{numbers}, not {text}")
    return share


def source_folder(
    options: argparse.Namespace,
    folder: Path,
    wanted: str,
    urls: Mapping[str, str] | None = None,
    sha256: Mapping[str, str] | None = None,
) -> Path:
    """Return the folder of the raw files: the one of ``--from``, or else ``raw``, after downloading missing files.

    Args:
        options: the options from `command_line`.
        folder: the folder of the data set, of which ``raw`` is a subfolder.
        wanted: text for the message that lists the required files.
        urls: dict from file name to URL; None if the files can only be downloaded manually.
        sha256: dict from file name to the expected SHA-256, for the files whose SHA-256 is known.

    Raises:
        UserError: the folder of ``--from`` does not exist, the files must be downloaded manually, or a download failed.
    """
    if options.source:
        if not options.source.is_dir():
            raise UserError(f"--from: there is no folder {options.source}")
        return options.source
    if urls is None:
        raise UserError(
            f"this data set must be downloaded manually, see {folder / 'README.md'}; then add --from DIR, where DIR is "
            f"a folder with {wanted}"
        )
    for name, url in urls.items():
        path = folder / "raw" / name
        if not path.is_file():
            known = (sha256 or {}).get(name)
            program.say(f"fetching {url}{'' if known else ' (its content cannot be checked: no SHA-256 is known)'}")
            download(url, path, known)
    return folder / "raw"


def shared_items(categories: Mapping[str, pa.Array], items: pa.Array, rules_path: str | Path) -> dict[str, list[str]]:
    """Reduce each category of sensitive items to the items (as a list of str) that occur in the data.

    Args:
        categories: dict from the name of a category to its items (Arrow string array).
        items: the items in the data (Arrow string array).
        rules_path: the file with the rules for sensitive items, for the message.

    Raises:
        UserError: no item of a category occurs in the data, so the files probably come from different releases.
    """
    kept = {category: listed.filter(pc.is_in(listed, items)).to_pylist() for category, listed in categories.items()}
    for category, own in kept.items():
        if not own:
            raise UserError(
                f"{rules_path}: category '{category}': none of its {len(categories[category])} items is among the "
                f"{len(items)} items in the data; do the files come from different releases?"
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
    """Write the ``.inter`` file, the lists of sensitive items and the forget sets.

    Args:
        options: the options from `command_line`. With ``subset``, only the interactions of drawn users are written.
        task: ``CF`` (collaborative filtering) or ``SBR`` (session-based recommendation).
        log: the interactions.
        categories: dict from the name of a category to its sensitive items, from `shared_items`.
        read: sizes of the raw files, which are stored by `note_source`.
        min_sensitive: users with fewer interactions that they could request to forget make no request.
        min_remaining: users with fewer other interactions make no request.
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
    return f"users with at least {min_sensitive} of them and at least {min_remaining} other interactions"


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
    """Copy an existing ``.inter`` file to the output folder; write the lists of sensitive items and the forget sets.

    With ``options.subset``, only the interactions of randomly drawn users are written.

    Args:
        options: the options from `command_line`.
        task: ``CF`` (collaborative filtering) or ``SBR`` (session-based recommendation).
        log: the existing file.
        categories: dict from the name of a category to its sensitive items.
        fractions: shares of all interactions to forget; forget sets are drawn for each.
        others: suffixes of further files next to the existing file, which are copied unchanged.
        user_field: name of the user column in the existing file.
        parts: suffixes of files next to it with some of its interactions, such as ``.train.inter``, which are copied.
            With ``options.subset``, they too contain only the interactions of the drawn users.
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
    """Write the interactions of some ``users`` (Arrow string array) from the ``.inter`` file ``source`` to ``path``."""
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
    """Write the ``_merged.json`` file of a next-basket data set, the lists of sensitive items and the forget sets.

    Args:
        options: the options from `command_line`. With ``subset``, only the baskets of drawn users are written.
        baskets: the users' baskets.
        categories: dict from the name of a category to its sensitive items, from `shared_items`.
        fractions: shares of all entries in baskets to forget; forget sets are drawn for each.
        as_given: without ``subset``, a file that is copied instead of writing ``baskets``; None for no such file.
        repeated: whether to also draw forget sets in which users request only sensitive items that are in at least two
            of their baskets, see `repeated_category`.
        read: sizes of the raw files, which are stored by `note_source`; None to store nothing.
        beside: function that receives the output folder and writes further files to it; None for no such files.
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
        askers = f"users who keep at least {log.min_baskets} baskets without them"
        _scenarios(options, folder, "NBR", log, categories, askers, fractions)
        if repeated:
            again = {repeated_category(category): listed for category, listed in categories.items()}
            often = RawBaskets(path, in_baskets=REPEATED)
            _scenarios(options, folder, "NBR", often, again, fractions=fractions, may_lack=True)


def _drawn(options: argparse.Namespace, n_users: int) -> np.ndarray:
    """Draw the users of the subset at random; return bool [n_users], True for the drawn users.

    Raises:
        UserError: the subset has more users than the data.
    """
    size = options.subset if isinstance(options.subset, int) else max(1, int(n_users * options.subset))
    if size > n_users:
        raise UserError(f"--subset: the data have {n_users} users, fewer than {size}")
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
    """Write the lists of sensitive items and the forget sets, with `program.write_scenarios`; see its arguments.

    If no user may request to forget items of a category, this is an error. In a subset, and with ``may_lack``, the
    category is left out instead.
    """
    threshold = options.rating_threshold
    if options.subset is not None:
        categories = {category: _shared(listed, log.items) for category, listed in categories.items()}
    if options.subset is not None or may_lack:
        absent = [category for category, own in categories.items() if not log.sensitive(own, threshold).any()]
        if absent:
            program.say(f"left out, because no user can request to forget them: categories {', '.join(absent)}")
        categories = {category: own for category, own in categories.items() if category not in absent}
    fractions = fractions or FRACTIONS[task]
    program.write_scenarios(folder, options.name, log, categories, fractions, RULES[task], threshold, askers)


def _shared(listed: Sequence[str], items: pa.Array) -> list[str]:
    """Return the item tokens in ``listed`` that are also in ``items`` (Arrow string array), in the same order."""
    tokens = pa.array(listed, pa.string())
    return tokens.filter(pc.is_in(tokens, items)).to_pylist()
