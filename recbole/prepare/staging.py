"""Everything or nothing: what a preparation writes appears in its folder once all of it has succeeded."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from recbole.utils import UserError


@contextlib.contextmanager
def workspace(folder: str | Path, purpose: str) -> Iterator[Path]:
    """Make an empty folder on the file system of ``folder``, in it or (if it is not there yet) near it.

    It is removed in the end; what a kill leaves of it, the next one takes over.

    Args:
        folder: a path, there or not.
        purpose: the end of the workspace's name.

    Yields:
        Path: the workspace.

    Raises:
        UserError: the workspace cannot be made, or the disk refuses what is done in it.
    """
    folder = Path(folder).resolve()
    home = next(place for place in (folder, *folder.parents) if place.exists())
    path = home / f".{folder.name}.{purpose}"
    try:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        yield path
    except OSError as error:
        raise UserError(f"cannot prepare {folder}: {error.filename or path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def staged(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder; once the block has ended well, its files replace those of ``folder``.

    If the block fails, ``folder`` stays as it was, and is not made if it was not there.

    Raises:
        UserError: a file cannot be written or moved.
    """
    with workspace(folder, "partial") as stage:
        yield stage
        folder = Path(folder)
        files = sorted(stage.iterdir())
        for path in files:
            if (folder / path.name).is_dir():
                raise UserError(f"cannot write {folder / path.name}: it is a folder")
        folder.mkdir(parents=True, exist_ok=True)
        for path in files:
            os.replace(path, folder / path.name)
