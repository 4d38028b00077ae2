"""Lists of sensitive items: text files with one item token per line."""

import os
from collections.abc import Iterable
from pathlib import Path

from recbole.generators.artefact_names import SENSITIVE_KINDS, sensitive_list_name, sensitive_list_names
from recbole.generators.commands import preparing_command
from recbole.generators.order import order_requests
from recbole.utils import UserError, atomic_write, suggest


def read_sensitive_items(folder: str | Path, category: str) -> list[str]:
    """Return the distinct sensitive items of a category, as strings, in the order of the file.

    Args:
        folder: the data set's folder, ``dataset/<name>``.
        category: the category's name; its file is the first that exists of ``sensitive_asins_<category>.txt``,
            ``sensitive_products_<category>.txt`` and ``sensitive_tracks_<category>.txt``.

    Raises:
        UserError: there is no such file, or it is no regular file, empty or not UTF-8.
    """
    folder = Path(folder)
    names = sensitive_list_names(category)
    found = [folder / name for name in names if os.path.lexists(folder / name)]
    path = next(filter(Path.is_file, found), None)
    if path is None and found:
        raise UserError(f"cannot read {found[0]}: it is not a regular file")
    if path is None:
        hint, command = suggest(category, list_categories(folder)), preparing_command(folder.name)
        raise UserError(
            f"no list of sensitive items for the category '{category}' in {folder}{hint} (looked for "
            f"{', '.join(names)}; {f'{command!r} writes the lists' if command else 'write one item token per line'})"
        )
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    items = list(dict.fromkeys(filter(None, map(str.strip, lines))))
    if not items:
        raise UserError(f"{path}: the list is empty, expected one item token per line")
    return items


def list_categories(folder: str | Path) -> list[str]:
    """Return the categories for which a data set's folder has lists of sensitive items, sorted."""
    paths = [
        (path, f"sensitive_{kind}_")
        for kind in SENSITIVE_KINDS
        for path in Path(folder).glob(f"sensitive_{kind}_*.txt")
    ]
    return sorted({path.stem.removeprefix(prefix) for path, prefix in paths})


def write_sensitive_items(folder: str | Path, category: str, items: Iterable[str]) -> Path:
    """Write the list of sensitive items of a category to a data set's folder, and return the file's path.

    The distinct items are written in the order of `order_requests`.

    Raises:
        UserError: there are no items, or the file cannot be written.
    """
    path = Path(folder) / sensitive_list_name(category)
    ordered = order_requests(dict.fromkeys(items))
    if not ordered:
        raise UserError(f"no item belongs to the category '{category}', so {path} is not written")
    with atomic_write(path) as file:
        file.writelines(f"{item}\n" for item in ordered)
    return path
