"""Replaces several files of a folder together: the old ones stay in place until all new ones have been written."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from recbole.utils.errors import UserError
from recbole.utils.folders import make_folder
from recbole.utils.lock import writer
from recbole.utils.temporary import folder_beside


@contextlib.contextmanager
def workspace(folder: str | Path) -> Iterator[Path]:
    """Create a temporary folder for the block, on the same file system as a given folder.

    The temporary folder is created inside the given one or, if that does not exist, inside its nearest existing parent.
    It is removed at the end of the block. If the process is killed, the next call in the same place removes it.

    Args:
        folder: the given folder, which need not exist.

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
    """Let the block write files to a temporary folder, and move them to ``folder`` when the block ends without error.

    The files replace those with the same names. After an error ``folder`` is unchanged; if it did not exist, it is not
    created. If several processes do this at the same time, each moves all of its files before the next one starts.

    Args:
        folder: the destination.
        last: the name of the most important file, without which programs do not use the others; None for no such file.
            Its old version is deleted before the other files are moved, and its new version is moved last. If the
            process is killed in between, the file is missing, so that old and new files are never used together.

    Yields:
        The path of the temporary folder, which is empty.

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
        make_folder(folder)
        with writer(folder / "staged"):
            if last is not None:
                (folder / last).unlink(missing_ok=True)
            for path in files:
                os.replace(path, folder / path.name)
