"""The steps that all preparations of large data sets share: command line, fetching, subset, and what is written."""

import shutil
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from recbole.scenario import prepare
from recbole.scenario.forget_set import RULES
from recbole.scenario.raw.baskets import of_users, write_baskets
from recbole.scenario.raw_log import BasketLog, InteractionLog
from recbole.utils import UserError, atomic_write, stream

FRACTIONS = {"CF": (1e-4, 1e-5, 1e-6), "SBR": (1e-4, 1e-5, 1e-6), "NBR": (1e-3,)}
_PATIENCE = 60


def command_line(description, folder, wanted):
    """Parse the command line of a preparation; ``folder`` is the data set's, ``wanted`` says which files it needs.

    Returns:
        The options: ``source`` (or ``None``), ``output``, ``name`` (of the data set to write), ``subset`` (or
        ``None``), ``seed``, ``rating_threshold``.

    Raises:
        UserError: the subset is no share.
    """
    command = prepare.parser(description, folder, f"a folder with {wanted}")
    command.add_argument(
        "--subset", type=float, metavar="S", help=f"write {folder.name}_test, with a share S of the users, beside it"
    )
    command.add_argument(
        "--seed", type=int, default=2, metavar="N", help="which users the subset has (default: %(default)s)"
    )
    options = command.parse_args()
    options.name = folder.name
    if options.subset is not None:
        if not 0 < options.subset <= 1:
            raise UserError(f"--subset: a share from 0 to 1, such as 0.01, not {options.subset}")
        options.name += "_test"
        if options.output == folder:
            options.output = folder.with_name(options.name)
    return options


def source_folder(options, folder, wanted, urls=None):
    """Return the folder of the raw files: that of ``--from``, or ``raw`` in the data set's, filled from ``urls``.

    Args:
        options: see `command_line`.
        folder: the data set's.
        wanted: says which files are needed.
        urls: dict from file names to addresses; ``None`` where the files can only be had by hand.

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
        if not (folder / "raw" / name).is_file():
            download(url, folder / "raw" / name)
    return folder / "raw"


def download(url, path):
    """Write what an address holds to a file, whole or not at all.

    Raises:
        UserError: it cannot be reached, or ends too early.
    """
    prepare.say(f"fetching {url}")
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as response, atomic_write(path, "wb") as file:
            shutil.copyfileobj(response, file, 1 << 20)
            announced = response.headers.get("Content-Length")
            if announced is not None and file.tell() != int(announced):
                raise UserError(f"{url}: got {file.tell()} of {announced} bytes; try again")
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"cannot download {url} ({reason}); fetch it by hand and give its folder with --from"
        ) from error


def unpack(archive, members):
    """Write members of a zip archive beside it, under the last part of their names.

    Raises:
        UserError: it is no zip archive, or lacks a member.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in members:
                with opened.open(member) as source, atomic_write(archive.parent / Path(member).name, "wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
    except KeyError as error:
        raise UserError(f"{archive}: {error.args[0]}") from error
    except zipfile.BadZipFile as error:
        raise UserError(f"{archive}: not a zip archive") from error


def shared_items(categories, items, rules_path):
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


def write_log(options, task, log, categories, **eligible):
    """Write the ``.inter`` file, the lists and the forget sets.

    Args:
        options: see `command_line`.
        task: ``CF`` or ``SBR``.
        log: a `RawLog`.
        categories: dict from categories to lists of item tokens, see `shared_items`.
        eligible: what `InteractionLog` asks of users who may ask.
    """
    if options.subset is not None:
        log = log.sample_users(options.subset, stream(options.seed, "subset"))
    users = len(np.unique(log.codes["user_id"]))
    prepare.say(f"{len(log):,} interactions of {users:,} users with {len(log.items()):,} items")
    path = options.output / f"{options.name}.inter"
    log.write(path)
    _scenarios(options, task, InteractionLog(path, **eligible), categories)


def write_merged(options, baskets, categories):
    """Write the ``_merged.json`` file, the lists and the forget sets.

    Args:
        options: see `command_line`.
        baskets: a `Baskets`.
        categories: dict from categories to lists of item tokens, see `shared_items`.
    """
    n_users = len(baskets.users)
    if options.subset is not None:
        chosen = np.zeros(n_users, bool)
        size = max(1, int(n_users * options.subset))
        chosen[stream(options.seed, "subset").choice(n_users, size, replace=False)] = True
        baskets = of_users(baskets, chosen)
    prepare.say(
        f"{len(baskets.items):,} items in {len(baskets.items_per_basket):,} baskets of {len(baskets.users):,} users, "
        f"{len(np.unique(baskets.items)):,} different items"
    )
    path = options.output / f"{options.name}_merged.json"
    write_baskets(path, baskets)
    _scenarios(options, "NBR", BasketLog(path), categories)


def _scenarios(options, task, log, categories):
    if options.subset is not None:
        absent = [category for category, items in categories.items() if not log.sensitive(items).any()]
        if absent:
            prepare.say(f"nobody in the subset can ask for: {', '.join(absent)} (left out)")
        categories = {category: items for category, items in categories.items() if category not in absent}
    threshold = options.rating_threshold
    prepare.write_scenarios(options.output, options.name, log, categories, FRACTIONS[task], RULES[task], threshold)
