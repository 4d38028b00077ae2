"""Creates folders, and says in plain words what is in the way."""

import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Create a folder and the missing folders above it; an existing folder is left as it is.

    Raises:
        OSError: this is not possible. If something else has one of the names, ``strerror`` names it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        there = next(path for path in (folder, *folder.parents) if os.path.lexists(path) and not path.is_dir())
        what = "a link to a place that does not exist" if there.is_symlink() else "not a folder"
        raise type(error)(error.errno, f"{there} is {what}") from error
