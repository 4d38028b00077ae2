"""Converts published splits to RecBole's ``.inter`` files. Their files have one line per user with the user's items."""

import argparse
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from recbole.data.atomic import write_atomic
from recbole.generators.raw_log import RawInteractions
from recbole.prepare import program, steps
from recbole.prepare.synthetic_categories import draw_categories, middle_ranks
from recbole.utils import UserError, sha256_of_file, stream

TRAIN, VALID, TEST = LISTS = ("train.txt", "valid.txt", "test.txt")
FRACTIONS = (0.0001, 0.0005, 0.001)
SEED_OF_VALIDATION = 2022
SHARE_OF_VALIDATION = 10
"""If there is no ``valid.txt``, one out of this many interactions in ``train.txt`` is used for validation."""
_PARTS = (".train.inter", ".valid.inter", ".train_all.inter", ".test.inter")
_RANKS, _SHARE = (0.1, 0.3), 0.1
_TYPES = {"user_id": "token", "item_id": "token"}


@dataclass(frozen=True)
class Pairs:
    """Interactions as pairs of user and item, in the order of their file.

    Attributes:
        user: int64 [n], the user of each interaction, as the number in the file.
        item: int64 [n], the item of each interaction, as the number in the file.
    """

    user: np.ndarray
    item: np.ndarray

    def take(self, rows: np.ndarray) -> "Pairs":
        """Return some of the interactions.

        Args:
            rows: int64 indices of the interactions, in the new order; or bool [n], True for those to keep.
        """
        return Pairs(self.user[rows], self.item[rows])

    def then(self, other: "Pairs") -> "Pairs":
        """Return these interactions followed by those in ``other``."""
        return Pairs(np.concatenate([self.user, other.user]), np.concatenate([self.item, other.item]))


def prepare(
    options: argparse.Namespace,
    source: Path,
    sha256: Mapping[str, str],
    seeds: Mapping[str, int],
    also: Callable[[Path, np.ndarray], tuple[str, ...]] = lambda folder, users: (),
) -> None:
    """Convert a published split, and write lists of sensitive items and forget sets.

    ``<name>.inter`` contains all interactions; forget sets and spam are drawn from it. ``<name>.train.inter``,
    ``<name>.valid.inter`` and ``<name>.test.inter`` contain the split, and ``<name>.train_all.inter`` the training and
    validation interactions together. Without ``valid.txt``, a tenth of the interactions in ``train.txt``, drawn at
    random with a fixed seed, is used for validation. The sensitive items are drawn at random from items of medium
    popularity.

    Args:
        options: the script's options, from `steps.command_line`. With ``subset``, only the interactions of randomly
            drawn users are written.
        source: the folder with ``train.txt``, ``test.txt`` and optionally ``valid.txt``.
        sha256: dict from the name of a file to the SHA-256 of the published file. Whether all agree is printed, nothing
            else.
        seeds: dict from the name of each category of sensitive items to the seed with which it is drawn.
        also: function that writes further files of the data set. It receives the path of the ``.inter`` file, from
            which the paths of the further files must differ only in the suffix, and the users (int64, ascending). It
            returns the suffixes of the files.

    Raises:
        UserError: a file is missing or malformed.
    """
    if sha256:
        known = all(sha256_of_file(_there(source, name)) == digest for name, digest in sha256.items())
        program.say(f"the files are {'' if known else 'NOT '}identical to those of the published split")
    train, valid, everything, test = split_of(source)
    log = everything.then(test)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "all.inter"
        for end, pairs in zip((".inter", *_PARTS), (log, train, valid, everything, test), strict=True):
            write_atomic(path.with_suffix(end), {"user_id": pairs.user, "item_id": pairs.item}, _TYPES)
        further = also(path, np.unique(log.user))
        candidates = middle_ranks(log.item, *_RANKS)
        categories = draw_categories(candidates, max(int(len(candidates) * _SHARE), 1), seeds)
        steps.write_rows(options, "CF", RawInteractions(path), categories, FRACTIONS, further, parts=_PARTS)


def split_of(source: Path) -> tuple[Pairs, Pairs, Pairs, Pairs]:
    """Read a published split from the files in a folder.

    Returns:
        Four sets of interactions: for training, for validation, training and validation together, and for the test.

    Raises:
        UserError: a file is missing or malformed.
    """
    rest, test = (read_lists(_there(source, name)) for name in (TRAIN, TEST))
    if (source / VALID).is_file():
        program.say(f"using {VALID} for validation")
        valid = read_lists(source / VALID)
        return rest, valid, rest.then(valid), test
    size = len(rest.user) // SHARE_OF_VALIDATION
    drawn = np.zeros(len(rest.user), dtype=bool)
    drawn[stream(SEED_OF_VALIDATION, "validation").choice(len(drawn), size, replace=False)] = True
    program.say(f"for validation: {size:,} of {len(drawn):,} rows of {TRAIN}, drawn with seed {SEED_OF_VALIDATION}")
    return rest.take(~drawn), rest.take(drawn), rest, test


def read_lists(path: Path) -> Pairs:
    """Read a file with one line ``user item item …`` per user. A line may have no items.

    Returns:
        The interactions, one for each item of a line.

    Raises:
        UserError: the file cannot be read, a line contains anything but whole numbers, or there are no items.
    """
    users, items = array("q"), array("q")
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                words = line.split()
                if not words or not all(word.isdigit() and len(word) < 19 for word in words):
                    raise UserError(f"{path}:{number}: expected whole numbers, a user followed by the user's items")
                users.extend([int(words[0])] * (len(words) - 1))
                items.extend(map(int, words[1:]))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if not items:
        raise UserError(f"{path}: contains no items; a line should have a user's number, then item numbers")
    return Pairs(np.array(users, dtype=np.int64), np.array(items, dtype=np.int64))


def _there(source: Path, name: str) -> Path:
    if not (source / name).is_file():
        raise UserError(f"{source} contains no {name}")
    return source / name
