"""Create installed distributions with entry points as folders on the path, like packages from outside."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def install(folder, group, parts, name="toys"):
    """Make an installed distribution.

    Args:
        folder: one that is, or will be, on the path.
        group: of the entry points.
        parts: entry point to ``module:thing``.
        name: of the distribution.
    """
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{group}]", *(f"{point} = {value}" for point, value in parts.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    importlib.invalidate_caches()


def python(folder, *words, cwd=None):
    """Run Python with ``folder`` and this package on the path; return the result of ``subprocess.run``."""
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd, env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, timeout=200, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
