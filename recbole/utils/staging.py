"""Files that belong together: none of them appears before all have been written, and one stands for all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from recbole.utils.errors import UserError
from recbole.utils.lock import writer
from recbole.utils.temporary import folder_beside


@contextlib.contextmanager
def workspace(folder: str | Path) -> Iterator[Path]:
    """Make an empty folder on the file system of ``folder``, in it or (if it is not there yet) near it.

    It is this process's own and removed in the end; what a kill leaves of it, the next one there removes.

    Args:
        folder: a path, there or not.

    Yields:
        Path: the workspace.

    Raises:
        UserError: the workspace cannot be made, or the disk refuses what is done in it.
    """
    folder = Path(folder).resolve()
    home = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with folder_beside(home / folder.name) as made:
            yield made
    except OSError as error:
        raise UserError(f"cannot prepare {folder}: {error.filename or home}: {error.strerror or error}") from error


@contextlib.contextmanager
def staged(folder: str | Path, last: str | None = None) -> Iterator[Path]:
    """Yield an empty folder; once the block has ended well, its files replace those of ``folder``.

    If the block fails, ``folder`` stays as it was, and is not made if it was not there. Of several processes that do
    this at once, one after the other moves all of its files.

    Args:
        folder: where to.
        last: the name of the file that nobody goes without. It is gone while the others are moved and comes after
            them, so that a kill in between leaves a set that is seen to lack it, never a mixed one.

    Raises:
        UserError: a file cannot be written or moved.
    """
    with workspace(folder) as stage:
        yield stage
        folder = Path(folder)
        files = sorted(stage.iterdir(), key=lambda path: (path.name == last, path.name))
        for path in files:
            there = folder / path.name
            if there.exists() and not there.is_file():
                what = "a folder" if there.is_dir() else "no regular file"
                raise UserError(f"cannot write {there}: it is {what}")
        folder.mkdir(parents=True, exist_ok=True)
        with writer(folder / "staged"):
            if last is not None:
                (folder / last).unlink(missing_ok=True)
            for path in files:
                os.replace(path, folder / path.name)
