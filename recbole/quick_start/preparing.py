"""``erase-bench prepare``: runs a data set's ``prepare.py``, which an installed package contains too."""

import runpy
import shutil
import sys
from pathlib import Path

from recbole.generators.commands import prepared_datasets
from recbole.utils import OneLineParser, UserError
from recbole.utils.folders import make_folder
from recbole.utils.packaged import packaged_folder

_ABOUT = """Download or convert a data set, list its sensitive items, and draw forget sets, in ./dataset/<name>.

The script prepare.py, its rules and a README with the data's licence terms are copied there first, unless prepare.py
already exists there."""


def main(argv: list[str] | None = None, program: str | None = None) -> int:
    """Run the ``prepare.py`` of the data set that the first argument names, and return the exit status.

    Args:
        argv: the command-line arguments; None for those of the process. All but the first are passed to ``prepare.py``.
        program: the program's name in messages; None for argparse's default.
    """
    arguments, names = sys.argv[1:] if argv is None else argv, prepared_datasets()
    parser = OneLineParser(prog=program, description=_ABOUT, epilog="Further arguments go to its prepare.py: "
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
    """Return the path ``dataset/<name>/prepare.py`` in the working directory.

    If the file is missing, first copy it from the installed package, with the README and YAML files of the data set.

    Raises:
        UserError: the file has to be copied, but the installed package does not contain it.
        OSError: the copy cannot be written.
    """
    folder, packaged = Path("dataset", name), packaged_folder("dataset") / name
    script = folder / "prepare.py"
    if not script.is_file():
        if not (packaged / "prepare.py").is_file():
            raise UserError(f"{packaged} has no prepare.py: reinstall erase-bench")
        make_folder(folder)
        files = [path for kind in ("README.md", "*.yaml", "prepare.py") for path in sorted(packaged.glob(kind))]
        for path in files:  # prepare.py comes last, so that its existence means that the folder is complete
            shutil.copyfile(path, folder / path.name)
    return script


def _run(script: Path, arguments: list[str]) -> int:
    """Run a script as the main program in this process; return its exit status."""
    words, paths = sys.argv, sys.path[:]
    sys.argv = [str(script), *arguments]
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv, sys.path[:] = words, paths
    return 0
