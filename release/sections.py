"""Run sections of ERASE.def without apptainer, each in a folder that stands for the container's root.

    python release/sections.py ROOT SECTION [ARGUMENT ...]

SECTION is ``files`` (copies what ``git archive`` gives to ROOT/opt/erase-bench), ``post``, ``test`` or ``runscript``,
which gets the arguments. Commands find the root in ``ERASE_ROOT`` and the programs on the caller's ``PATH``. Exit
status: that of the section.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def sections(definition):
    """Return the sections of an apptainer definition file, name to text."""
    parts = re.split(r"^%(\w+)[^\n]*\n", definition, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def place_files(root):
    """Do what ``make sif`` and the section ``files`` do together."""
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
