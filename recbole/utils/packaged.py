"""Finds the folders ``configs`` and ``dataset``: next to the package in a checkout, else within ``erase_bench``."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def packaged_folder(kind: str) -> Path:
    """Return the path of the program's own folder ``kind``, which is ``configs`` or ``dataset``."""
    installed = _PACKAGE.parent / "erase_bench" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def config_file(path: str | Path) -> Path:
    """Return the path of a configuration file.

    A path that does not exist and begins with ``configs`` is looked up in the packaged folder. If it is not there
    either, it is returned unchanged.
    """
    path = Path(path)
    if path.parts[:1] == ("configs",) and not path.exists():
        ours = packaged_folder("configs").joinpath(*path.parts[1:])
        if ours.is_file():
            return ours
    return path
