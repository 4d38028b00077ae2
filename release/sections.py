"""Run a section of the container definition ERASE.def without apptainer, in a folder instead of the container's root.

    python release/sections.py ROOT SECTION [ARGUMENT ...]

ROOT is the folder. SECTION is ``files`` (copies the files of ``git archive`` to ROOT/opt/erase-bench), ``post``,
``test`` or ``runscript``. The section is run as a shell script with the given ARGUMENTs, with the folder in the
environment variable ``ERASE_ROOT``, and with the programs on the caller's ``PATH``. The exit status is that of the
section.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def sections(definition):
    """Return a dict from the name of each section to its text, given the text of an apptainer definition file."""
    parts = re.split(r"^%(\w+)[^\n]*\n", definition, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def place_files(root):
    """Copy the files of the last commit to ``root/opt/erase-bench``, as ``make sif`` and the section ``files`` do."""
    folder = root / "opt" / "erase-bench"
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)


def main(root, section, *arguments):
    """Run one section; return its exit status."""
    root = Path(root).resolve()
    if section == "files":
        place_files(root)
        return 0
    known = sections((CHECKOUT / "ERASE.def").read_text(encoding="utf-8"))
    script = known.get("environment", "") + known[section]
    environment = os.environ | {"ERASE_ROOT": str(root)}
    return subprocess.run(["sh", "-ec", script, "erase.sif", *arguments], env=environment, check=False).returncode


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
