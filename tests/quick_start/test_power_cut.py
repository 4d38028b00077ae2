"""A write that fails leaves the existing files, gives a one-line error, and the run can be resumed."""

import errno
import fnmatch
import os
import re
from pathlib import Path

import pytest
import torch

from recbole.unlearning import request_log

UNLEARN = ("unlearn.py", "--result_file", "result.json")
_UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.erase\.partial$")
RECORD = "*_to_match_2.json"
WRITTEN = ("*.resume", "*_to_match_2.pth", RECORD, "result.json")


@pytest.fixture(scope="module")
def finished(world, here, tmp_path_factory):
    """A folder in which every file has been written once."""
    place = world(tmp_path_factory.mktemp("finished"))
    for script in (("run_recbole.py",), UNLEARN):
        told = here(place.folder, *script)
        assert told.status == 0, told.err
    return place.folder


@pytest.fixture
def place(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    for path in finished.rglob("*"):
        copy = tmp_path / path.relative_to(finished)
        copy.mkdir(parents=True) if path.is_dir() else copy.write_bytes(path.read_bytes())
    return tmp_path


def files(folder, *but):
    found = {path.name: path for path in (folder / "saved").iterdir()} | {"result.json": folder / "result.json"}
    return {n: p.read_bytes() for n, p in found.items() if not any(fnmatch.fnmatch(n, pattern) for pattern in but)}


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("pattern", WRITTEN)
def test_a_failed_write_of_a_file_leaves_the_old_one(place, here, monkeypatch, pattern, step):
    real, before, times = getattr(os, step), files(place), 3 if pattern == "*.resume" else 1

    def fails(what, *more):
        nonlocal times
        name = Path(os.readlink(f"/proc/self/fd/{what}") if step == "fsync" else more[0]).name
        if fnmatch.fnmatch(_UNFINISHED.sub("", name).removeprefix("."), pattern):
            times -= 1
            if not times:
                full_disk()
        return real(what, *more)

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fails)
        told = here(place, *UNLEARN)
    assert told.status == 2 and told.err.count("\n") == 1, told.err
    assert "cannot write" in told.err and "No space left on device" in told.err
    assert not list(place.rglob("*.partial"))
    after = files(place, "*.resume")
    gone = {
        name for name in before if pattern == RECORD and fnmatch.fnmatch(name, pattern)
    }  # the record of an older model is removed
    assert after.keys() == before.keys() - gone and all(after[name] for name in after)
    assert all(torch.load(path, weights_only=True)["state_dict"] for path in place.glob("saved/*.pth"))
    assert all(after[name] == before[name] for name in after if fnmatch.fnmatch(name, pattern))
    again = here(place, *UNLEARN)
    assert again.status == 0 and "continuing after " in again.out
    weights = files(place, "*.json")
    assert weights == {name: content for name, content in before.items() if name in weights}


def test_a_failed_write_of_the_log_is_an_error(place, here, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return full_disk if name in ("write", "flush") else getattr(self.file, name)

    with monkeypatch.context() as patch:
        patch.setattr(request_log, "open", lambda *arguments: Full(open(*arguments)), raising=False)  # noqa: SIM115
        told = here(place, *UNLEARN)
    assert told.status == 2 and told.err.count("\n") == 1
    assert "cannot write" in told.err and "requests.jsonl: No space left" in told.err
    assert here(place, *UNLEARN).status == 0
