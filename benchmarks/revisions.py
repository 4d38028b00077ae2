"""Another revision of this repository beside the checkout: its tree in a folder, and an environment that imports it."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def checked_out(revision, folder):
    """Write the tree of a revision into a folder; return its commit, or None where there is no such revision."""
    commit = commit_of(revision)
    if commit is None:
        return None
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return commit


def commit_of(revision):
    """Return the commit of a revision, or None where there is no such revision."""
    asked = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or None
    except FileNotFoundError:
        return None


def environment(source):
    """Return the environment of a process that imports the ``recbole`` of a tree and uses one thread."""
    return os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
