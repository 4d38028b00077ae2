"""Replaces several files together: none is replaced before all have been written."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from recbole.utils.errors import UserError
from recbole.utils.lock import writer
from recbole.utils.temporary import folder_beside


@contextlib.contextmanager
def workspace(folder: str | Path) -> Iterator[Path]:
    """Create a temporary folder on the file system of ``folder``.

    It is created inside ``folder``, or in its nearest existing parent, and removed at the end of the block. If the
    process is killed, the next workspace in the same place removes it.

    Args:
        folder: a path, which need not exist.

    Yields:
        The path of the empty temporary folder.

    Raises:
        UserError: the temporary folder cannot be created, or the disk fails during the block.
    """
    folder = Path(folder).resolve()
    home = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with folder_beside(home / folder.name) as made:
            yield made
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.filename or home}: {error.strerror or error}") from error


@contextlib.contextmanager
def staged(folder: str | Path, last: str | None = None) -> Iterator[Path]:
    """Yield an empty temporary folder; when the block ends without error, move its files to ``folder``.

    They replace files of the same names. On an error ``folder`` is unchanged; if it did not exist, it is not created.
    If several processes do this at the same time, each moves all of its files before the next one starts.

    Args:
        folder: the destination.
        last: name of a file without which the others are not used, or None. Its old version in ``folder`` is deleted
            before the others are moved, and its new version is moved last. If the process is killed in between, the
            file is missing, so that old and new files are never used together.

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
                what = "a folder" if there.is_dir() else "not a regular file"
                raise UserError(f"cannot write {there}: it is {what}")
        folder.mkdir(parents=True, exist_ok=True)
        with writer(folder / "staged"):
            if last is not None:
                (folder / last).unlink(missing_ok=True)
            for path in files:
                os.replace(path, folder / path.name)
