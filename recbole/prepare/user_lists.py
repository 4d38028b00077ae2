"""Splits that are published as lists, a user and all of the user's items a line, made into atomic files."""

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
"""One row of train in so many is for validation, where no list says which."""
_PARTS = (".train.inter", ".valid.inter", ".train_all.inter", ".test.inter")
_RANKS, _SHARE = (0.1, 0.3), 0.1
_TYPES = {"user_id": "token", "item_id": "token"}


@dataclass(frozen=True)
class Pairs:
    """Users and items, int64 arrays [n], in the order of a file."""

    user: np.ndarray
    item: np.ndarray

    def take(self, rows: np.ndarray) -> "Pairs":
        """Return the chosen rows (int64, or bool [n])."""
        return Pairs(self.user[rows], self.item[rows])

    def then(self, other: "Pairs") -> "Pairs":
        """Return these and others after them."""
        return Pairs(np.concatenate([self.user, other.user]), np.concatenate([self.item, other.item]))


def prepare(
    options: argparse.Namespace,
    source: Path,
    sha256: Mapping[str, str],
    seeds: Mapping[str, int],
    also: Callable[[Path, np.ndarray], tuple[str, ...]] = lambda folder, users: (),
) -> None:
    """Write the atomic files of a split, or of a subset of its users, with lists of items and forget sets.

    ``<name>.inter`` has all rows, for what draws requests or spam; ``.train``, ``.valid`` and ``.test`` the split, and
    ``.train_all`` all that is not test. Without ``valid.txt`` a tenth of the rows of train, drawn evenly by a fixed
    seed, is for validation.

    Args:
        options: see `steps.command_line`.
        source: the folder of the lists.
        sha256: what is known of the lists, file name to digest.
        seeds: synthetic categories of items, each with the seed of its draw.
        also: writes further files into a folder, given it and the users (int64, ascending); returns their endings.

    Raises:
        UserError: a list is missing or not one.
    """
    if sha256:
        known = all(sha256_of_file(_there(source, name)) == digest for name, digest in sha256.items())
        program.say(f"the lists are {'' if known else 'NOT '}those of the published split")
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
    """Return the rows for training, for validation, both together, and those for test, of the lists in a folder."""
    rest, test = (read_lists(_there(source, name)) for name in (TRAIN, TEST))
    if (source / VALID).is_file():
        program.say(f"{VALID} is there: it says what is for validation")
        valid = read_lists(source / VALID)
        return rest, valid, rest.then(valid), test
    size = len(rest.user) // SHARE_OF_VALIDATION
    drawn = np.zeros(len(rest.user), dtype=bool)
    drawn[stream(SEED_OF_VALIDATION, "validation").choice(len(drawn), size, replace=False)] = True
    program.say(f"for validation: {size:,} of the {len(drawn):,} rows of {TRAIN}, drawn by seed {SEED_OF_VALIDATION}")
    return rest.take(~drawn), rest.take(drawn), rest, test


def read_lists(path: Path) -> Pairs:
    """Read ``user item item …`` lines; a user may have no item.

    Raises:
        UserError: the file cannot be read, a line holds something else than whole numbers, or there is no item at all.
    """
    users, items = array("q"), array("q")
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                words = line.split()
                if not words or not all(word.isdigit() and len(word) < 19 for word in words):
                    raise UserError(f"{path}:{number}: expected whole numbers, a user and the user's items")
                users.extend([int(words[0])] * (len(words) - 1))
                items.extend(map(int, words[1:]))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if not items:
        raise UserError(f"{path}: holds no items")
    return Pairs(np.array(users, dtype=np.int64), np.array(items, dtype=np.int64))


def _there(source: Path, name: str) -> Path:
    if not (source / name).is_file():
        raise UserError(f"{source} holds no {name}")
    return source / name
