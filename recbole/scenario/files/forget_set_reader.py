"""Reading a forget set: one made by this benchmark or by ERASE, or a file that the user supplies."""

import io
import pickle
import pickletools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.generators.artefact_names import baskets_said, category_of, forget_set_names
from recbole.generators.commands import filter_flags, making_command
from recbole.generators.raw_log import read_filled
from recbole.utils import UserError, read_json, sha256_of_file

_LARGEST_PICKLE = 1 << 28  # bytes
_LONGEST_ID = 1000  # characters
_NO_TEXT = re.compile("[\ud800-\udfff]")
"""Unpaired surrogates, which cannot be encoded as UTF-8."""

_DAMAGED: tuple[type[Exception], ...] = (
    *(ValueError, EOFError, LookupError, TypeError, AttributeError, OverflowError, MemoryError),
    *(RecursionError, pickle.UnpicklingError),
)
"""The errors that reading a damaged pickle can raise."""

_CODE = {"GLOBAL", "STACK_GLOBAL", "INST"}
"""Pickle instructions that look up a class or function."""

_PLAIN = {
    *("PROTO", "FRAME", "STOP", "MARK", "LIST", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"),
}
"""The pickle instructions that are allowed: those that build lists, strings and integers."""


@dataclass(frozen=True)
class ForgetSet:
    """The content of a forget-set file: distinct (user, item) pairs, in the file's order.

    In session-based recommendation (SBR), the users are sessions.

    Attributes:
        entities: the user's token, for each pair.
        items: the item's token, for each pair. ``None`` stands for all sensitive items of the user; it occurs in files
            for next-basket recommendation (NBR) that list only users.
        path: the file.
        sha256: SHA-256 of the file's bytes, in hexadecimal digits.
        n_rows: number of rows in the file, counting repeated ones.
    """

    entities: tuple[str, ...]
    items: tuple[str | None, ...]
    path: Path
    sha256: str
    n_rows: int


def find_forget_set(config: Config, task_type: str) -> Path:
    """Return the path of the forget set that a run's settings describe.

    Args:
        config: the run's settings. ``forget_set`` is the path of a file that the user supplies; without it the path
            follows from ``dataset``, ``data_path``, ``unlearning_fraction``, ``unlearning_sample_selection_method`` and
            ``unlearn_sample_selection_seed``.
        task_type: ``CF``, ``SBR`` or ``NBR``.

    Raises:
        UserError: a setting is missing, the file is missing (the message has the command that makes it), or it exists
            in several formats.
    """
    if config["forget_set"] is not None:
        return Path(config["forget_set"])
    method, fraction = config["unlearning_sample_selection_method"], config["unlearning_fraction"]
    if method is None:
        raise UserError("no forget set is given: set --sensitive_category, or --forget_set with a file of your own")
    if fraction is None:
        raise UserError("the fraction to forget is not given: set --unlearning_fraction, for example to 0.001")
    seed = config["unlearn_sample_selection_seed"]
    names = forget_set_names(config["dataset"], method, seed, fraction, task_type)
    paths = [Path(config["data_path"]) / name for name in names]
    there = [path for path in paths if path.exists()]
    if len(there) > 1:
        raise UserError(f"{' and '.join(map(str, there))} both exist: keep only the one to use")
    if not there:
        raise UserError(f"there is no {paths[0]}{_advice(config, task_type, method, fraction, seed)}")
    return there[0]


def _advice(config: Config, task_type: str, method: str, fraction: float, seed: int) -> str:
    """Return the end of the message about a missing forget set: the command that makes it, and which others exist."""
    category = category_of(method)
    there = sorted(path.name for path in Path(config["data_path"]).glob("*_unlearn_pairs_*"))
    if category is None:
        return "; give a file of your own with --forget_set"
    filters = filter_flags(config, task_type) if task_type == "NBR" else {}
    in_baskets = baskets_said(category, task_type)
    filters |= {"min_baskets": in_baskets} if in_baskets > 1 else {}
    asked = {"sensitive_category": category, "unlearning_fraction": fraction, **filters, "seed": seed}
    others = f"; there are {', '.join(there[:5])}{' and others' if len(there) > 5 else ''}" if there else ""
    return f"; make it with: {making_command(config, task_type, **asked)}{others}"


def read_forget_set(
    path: str | Path, task_type: str, user_field: str = "user_id", item_field: str = "item_id", separator: str = "\t"
) -> ForgetSet:
    """Read a forget set: a file that says which interactions users request to forget.

    An ``.inter`` file (all tasks) has one (user, item) pair per row; other columns are ignored. For next-basket
    recommendation, a ``.json`` or ``.pkl`` file contains a list of users. Tokens are always strings. A pickle is read
    without executing code from it.

    Args:
        path: the file.
        task_type: ``CF`` (collaborative filtering), ``SBR`` (session-based) or ``NBR`` (next-basket recommendation).
        user_field: name of the column with the user (SBR: session).
        item_field: name of the column with the item.
        separator: the character between columns.

    Raises:
        UserError: the file cannot be read, has another format, or is empty.
    """
    path = Path(path)
    items: list[str] | list[None]
    if path.suffix == ".inter":
        entities, items = _pairs(path, user_field, item_field, separator)
    elif task_type == "NBR" and path.suffix in (".json", ".pkl"):
        users = read_json(path, list) if path.suffix == ".json" else _read_pickle(path)
        entities = [_user(path, at, user) for at, user in enumerate(users)]
        items = [None] * len(entities)
    else:
        right = ".inter, .json or .pkl" if task_type == "NBR" else ".inter"
        raise UserError(f"{path}: the name of a forget set for {task_type} must end in {right}")
    if not entities:
        raise UserError(f"{path}: the forget set is empty; make one with a larger fraction")
    unique = list(dict.fromkeys(zip(entities, items, strict=True)))
    who, what = tuple(entity for entity, _ in unique), tuple(item for _, item in unique)
    return ForgetSet(who, what, path, sha256_of_file(path), len(entities))


def _pairs(path: Path, user_field: str, item_field: str, separator: str) -> tuple[list[str], list[str]]:
    """Return the users' and the items' tokens in an ``.inter`` file, one of each per row."""
    table = read_filled(path, [user_field, item_field], separator)
    return table[user_field].to_pylist(), table[item_field].to_pylist()


def _user(path: Path, at: int, user: Any) -> str:
    """Return element ``at`` of a list of users as a token; raise a UserError if it is not a valid user id."""
    if type(user) not in (str, int):
        found = type(user).__name__  # the value itself may be too large to print, in a hostile file
        raise UserError(f"{path}: element {at} is of type {found}, expected a user id (a string or a whole number)")
    text = str(user)
    found = ""
    if not text:
        found = "is empty"
    elif len(text) > _LONGEST_ID:
        found = f"has {len(text)} characters"
    elif _NO_TEXT.search(text):
        found = "is not valid Unicode text"
    if found:
        raise UserError(f"{path}: element {at} {found}, expected a user id (a string or a whole number)")
    return text


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler of lists, strings and integers that refuses to look up (import) any class or function."""

    def __init__(self, path: Path, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """Refuse to look up a class or function; a pickle cannot call one without such a look-up.

        Raises:
            UserError: always.
        """
        raise UserError(f"{self._path}: refused: reading it would run code ({f'{module}.{name}'[:80]!r})")


def _read_pickle(path: Path) -> list[Any]:
    """Return the list in a pickle, without executing code from it.

    Raises:
        UserError: the file cannot be read, has anything but a list of strings and integers, or is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > _LARGEST_PICKLE:
        raise UserError(f"{path}: refused: {len(content)} bytes are too many for a list of users")
    try:
        for code, argument, _ in pickletools.genops(content):
            if code.name in _CODE:
                break  # loading stops here too: `_PlainUnpickler.find_class` raises, and names the class
            if code.name not in _PLAIN:
                raise UserError(f"{path}: refused: not only a list of strings and whole numbers ({code.name})")
            if code.name.endswith("PUT") and int(str(argument)) > len(content):  # would reserve that much memory
                raise UserError(f"{path}: refused: damaged or hostile ({code.name} {argument!s:.20})")
        users = _PlainUnpickler(path, content).load()
    except _DAMAGED as error:
        message = str(error).splitlines() or [type(error).__name__]
        raise UserError(f"{path}: not a readable pickle ({message[0]:.80})") from error
    if not isinstance(users, list):
        raise UserError(f"{path}: expected a list of users, found {type(users).__name__}")
    return users
