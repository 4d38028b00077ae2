"""``erase-bench prepare``: a data set's ``prepare.py``, run where no checkout is."""

import runpy
import shutil
import sys
from pathlib import Path

from recbole.generators.commands import prepared_datasets
from recbole.utils import OneLineParser, UserError
from recbole.utils.packaged import packaged_folder

_ABOUT = """Fetch or convert a data set, mark sensitive items, and draw forget sets, in dataset/<name> of this folder.

The preparation, its rules and a README that names the data's terms are placed there first, unless they are there."""


def main(argv: list[str] | None = None, program: str | None = None) -> int:
    """Prepare a data set; return the exit status."""
    arguments, names = sys.argv[1:] if argv is None else argv, prepared_datasets()
    parser = OneLineParser(prog=program, description=_ABOUT, epilog="What follows the name is the preparation's own: "
                           "erase-bench prepare ml-100k --help")  # fmt: skip
    parser.add_argument("dataset", choices=names, metavar="dataset", help=f"one of {', '.join(names)}")
    name = parser.parse_args(arguments[:1] or ["--help"]).dataset
    try:
        script = placed(name)
    except (OSError, UserError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return _run(script, arguments[1:])


def placed(name: str) -> Path:
    """Return the path of a data set's ``prepare.py`` in the caller's folder, copied there if it is not there.

    Raises:
        UserError: the installation lacks it.
        OSError: it cannot be written.
    """
    folder, packaged = Path("dataset", name), packaged_folder("dataset") / name
    script = folder / "prepare.py"
    if not script.is_file():
        if not (packaged / "prepare.py").is_file():
            raise UserError(f"{packaged} has no prepare.py: install erase-bench again")
        folder.mkdir(parents=True, exist_ok=True)
        files = [path for kind in ("README.md", "*.yaml", "prepare.py") for path in sorted(packaged.glob(kind))]
        for path in files:  # prepare.py last: with it the folder is complete
            shutil.copyfile(path, folder / path.name)
    return script


def _run(script: Path, arguments: list[str]) -> int:
    """Run a script as its own program; return its exit status."""
    words, paths = sys.argv, sys.path[:]
    sys.argv = [str(script), *arguments]
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv, sys.path[:] = words, paths
    return 0
