"""Write another revision of this repository to a folder, and run processes that import it."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def checked_out(revision, folder):
    """Write the files of a revision into a new folder; return its commit hash, or None if there is no such revision."""
    commit = commit_of(revision)
    if commit is None:
        return None
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return commit


def commit_of(revision):
    """Return the commit hash of a revision; None if it does not exist or git is not installed."""
    asked = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or None
    except FileNotFoundError:
        return None


def environment(source):
    """Return environment variables of a process that imports ``recbole`` from a folder and uses one thread."""
    return os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
