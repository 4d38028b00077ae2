"""What a checkout has beside the package and an installation in ``erase_bench``: configurations, preparations."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def packaged_folder(kind: str) -> Path:
    """Return the folder ``configs`` or ``dataset`` that came with the program."""
    installed = _PACKAGE.parent / "erase_bench" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def config_file(path: str | Path) -> Path:
    """Return where a configuration file is: at its path or, if it is not there and begins with ``configs``, in ours."""
    path = Path(path)
    if path.parts[:1] == ("configs",) and not path.exists():
        ours = packaged_folder("configs").joinpath(*path.parts[1:])
        if ours.is_file():
            return ours
    return path
