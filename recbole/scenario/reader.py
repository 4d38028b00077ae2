"""Reading a forget set: the benchmark's, the original's, or a user's own."""

import io
import pickle
import pickletools
from dataclasses import dataclass
from pathlib import Path

from recbole.data.atomic import read_atomic
from recbole.scenario.order import order_requests
from recbole.scenario.raw_log import read_json
from recbole.utils import UserError, sha256_of_file

__all__ = ["ForgetSet", "order_requests", "read_forget_set"]

_LARGEST_PICKLE = 1 << 28
_CODE = {"GLOBAL", "STACK_GLOBAL", "INST"}
_PLAIN = {
    *("PROTO", "FRAME", "STOP", "MARK", "LIST", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"),
}


@dataclass(frozen=True)
class ForgetSet:
    """What is to be forgotten: pairs of an entity (user or session) and an item, each pair once, in the file's order.

    Attributes:
        entities: one token per pair.
        items: one token per pair; ``None`` (next-basket lists of users) means every sensitive item of that user.
        path: the file.
        sha256: of the file's bytes.
        n_rows: rows of the file, repeated ones included.
    """

    entities: tuple[str, ...]
    items: tuple[str | None, ...]
    path: Path
    sha256: str
    n_rows: int


def read_forget_set(path, task_type, user_field="user_id", item_field="item_id", separator="\t"):
    """Read a forget set.

    An ``.inter`` file (every task) holds pairs, one per row; other columns than the two are not looked at. For
    next-basket recommendation, a ``.json`` or ``.pkl`` file holds a list of users. Tokens are always strings.

    Args:
        path: the file.
        task_type: ``CF``, ``SBR`` or ``NBR``.
        user_field: the column of the entity that asks.
        item_field: the column of the item.
        separator: the one character between columns.

    Raises:
        UserError: the file cannot be read, has not that form, or holds no request.
    """
    path = Path(path)
    if path.suffix == ".inter":
        entities, items = _pairs(path, user_field, item_field, separator)
    elif task_type == "NBR" and path.suffix in (".json", ".pkl"):
        users = read_json(path, list) if path.suffix == ".json" else _read_pickle(path)
        entities = [_user(path, at, user) for at, user in enumerate(users)]
        items = [None] * len(entities)
    else:
        right = ".inter, .json or .pkl" if task_type == "NBR" else ".inter"
        raise UserError(f"{path}: a forget set for {task_type} is a file that ends in {right}")
    if not entities:
        raise UserError(f"{path}: the forget set is empty; make one with a larger fraction")
    unique = dict.fromkeys(zip(entities, items, strict=True))
    return ForgetSet(*zip(*unique, strict=True), path, sha256_of_file(path), len(entities))


def _pairs(path, user_field, item_field, separator):
    table = read_atomic(path, [user_field, item_field], separator).table
    for name in (user_field, item_field):
        if table[name].null_count:
            raise UserError(f"{path}: column '{name}' has {table[name].null_count} rows without a value")
    return table[user_field].to_pylist(), table[item_field].to_pylist()


def _user(path, at, user):
    if isinstance(user, (str, int)) and not isinstance(user, bool) and user != "":
        return str(user)
    raise UserError(f"{path}: element {at} is {user!r:.40}, expected a user id (a string or a whole number)")


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, strings and whole numbers; whatever would import or call something is refused."""

    def __init__(self, path, content):
        super().__init__(io.BytesIO(content))
        self._path = path

    def find_class(self, module, name):
        """Refuse: every call in a pickle starts with this look-up."""
        raise UserError(f"{self._path}: refused: would run code ({module}.{name})")


def _read_pickle(path):
    """Return the list in a pickle without running any code that it may hold."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > _LARGEST_PICKLE:
        raise UserError(f"{path}: refused: {len(content)} bytes are too many for a list of users")
    try:
        for code, argument, _ in pickletools.genops(content):
            if code.name in _CODE:
                break  # loading ends here too, in `_PlainUnpickler.find_class`, which names what is asked for
            if code.name not in _PLAIN:
                raise UserError(f"{path}: refused: more than a list of strings and whole numbers ({code.name})")
            if code.name.endswith("PUT") and int(argument) > len(
                content
            ):  # would reserve memory for a table that large
                raise UserError(f"{path}: refused: damaged or hostile ({code.name} {argument})")
        users = _PlainUnpickler(path, content).load()
    except (ValueError, EOFError, IndexError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise UserError(f"{path}: not a pickle ({str(error).splitlines()[0]})") from error
    if not isinstance(users, list):
        raise UserError(f"{path}: expected a list of users, found {type(users).__name__}")
    return users
