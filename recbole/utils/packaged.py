"""Finds the program's own folders ``configs`` and ``dataset``.

In a checkout they are next to the package ``recbole``; in an installation they are within the package ``erase_bench``.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def packaged_folder(kind: str) -> Path:
    """Return the path of one of the program's own folders: ``kind`` is ``configs`` or ``dataset``."""
    installed = _PACKAGE.parent / "erase_bench" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def config_file(path: str | Path) -> Path:
    """Return the path of a configuration file that the user named.

    This is ``path`` itself. But if ``path`` begins with ``configs`` and there is no such file in the working directory,
    and the program's own folder ``configs`` contains the file, the path of this file is returned.
    """
    path = Path(path)
    if path.parts[:1] == ("configs",) and not path.exists():
        ours = packaged_folder("configs").joinpath(*path.parts[1:])
        if ours.is_file():
            return ours
    return path
