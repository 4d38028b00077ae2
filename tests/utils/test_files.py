"""Files are written completely or not at all, and unwritable places are found early."""

import contextlib
import json
import os
import time

import numpy as np
import pytest
import torch

from recbole.utils import UserError, atomic_write, check_writable, read_json, write_json
from recbole.utils.lock import STALE_SECONDS


def test_a_file_appears_when_the_block_has_ended_well(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as file:
        file.write("done\n")
        assert not path.exists()
    assert path.read_text() == "done\n"
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_a_kill_left_is_taken_over_by_the_next_write(tmp_path):
    path = tmp_path / "a.bin"
    child = os.fork()
    if child == 0:
        with atomic_write(path, "wb") as file:
            file.write(b"x" * 100)
            file.flush()
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert len(os.listdir(tmp_path)) == 1 and not path.exists()
    with atomic_write(path, "wb") as file:
        file.write(b"whole")
    assert os.listdir(tmp_path) == ["a.bin"]
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize("alive", [False, True])
def test_of_the_unfinished_files_in_a_folder_those_of_dead_writers_alone_go(tmp_path, alive):
    """The next write of any file removes them, not of the same one alone."""
    with contextlib.nullcontext() if alive else pytest.raises(UserError), atomic_write(tmp_path / "mine.pth", "wb"):
        (mine,) = tmp_path.iterdir()
        if not alive:
            mine.rename(tmp_path / "moved")  # nobody holds what stands under its name now
            mine.touch()
        write_json(tmp_path / "other.json", {})
        assert mine.exists() == alive


def test_where_there_are_no_locks_silence_tells_the_dead(tmp_path, monkeypatch):
    def none(*_, **__):
        raise OSError

    monkeypatch.setattr("recbole.utils.temporary.lock_descriptor", none)
    old, young = (tmp_path / f".x.{digit * 8}.erase.partial" for digit in "12")
    for path in (old, young):
        path.mkdir()
        (path / "part").touch()
    for path in (old, old / "part"):
        os.utime(path, (time.time() - STALE_SECONDS - 2,) * 2)
    write_json(tmp_path / "x.json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, "x.json"]


def test_a_link_that_was_put_where_a_file_is_written_first_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "mine").write_text("kept")
    names = iter(["0" * 8, "1" * 8])
    monkeypatch.setattr("recbole.utils.temporary.secrets.token_hex", lambda _: next(names))
    for name in (".a.json.partial", f".a.json.{'0' * 8}.erase.partial"):
        (tmp_path / name).symlink_to(tmp_path / "mine")
    with pytest.raises(UserError, match=r"cannot write .*a\.json"):
        write_json(tmp_path / "a.json", {})
    write_json(tmp_path / "a.json", {})
    assert (tmp_path / "mine").read_text() == "kept"


def test_two_writers_of_one_file_each_have_their_own(tmp_path):
    with atomic_write(tmp_path / "a") as one:
        with atomic_write(tmp_path / "a") as other:
            one.write("one")
            other.write("other")
        assert (tmp_path / "a").read_text() == "other"
    assert (tmp_path / "a").read_text() == "one" and os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("fails", [False, True])
def test_what_tells_of_a_file_goes_before_another_one_comes(tmp_path, monkeypatch, fails):
    """So a kill between the two leaves none that tells of another; who cannot write leaves both as they were."""
    for name in ("a.pth", "a.json"):
        (tmp_path / name).write_text("old")
    seen = []

    def replace(source, target):
        seen.extend(path.name for path in tmp_path.glob("[!.]*"))
        if fails:
            raise OSError(28, "No space left on device")
        os.rename(source, target)

    monkeypatch.setattr("recbole.utils.files.os.replace", replace)
    told_by = tmp_path / "a.json"
    with contextlib.suppress(UserError), atomic_write(tmp_path / "a.pth", told_by=told_by) as file:
        file.write("new")
    assert seen == ["a.pth"]
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == ({"a.pth": "old", "a.json": "old"} if fails else {"a.pth": "new"})


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path):
    with pytest.raises(UserError, match="it is a folder"):
        check_writable(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        check_writable(tmp_path / "file" / "result.json")
    check_writable(tmp_path / "new" / "result.json")
    assert os.listdir(tmp_path / "new") == []


def test_json_has_lists_for_arrays_and_numbers_for_scalars(tmp_path):
    value = {
        "a": np.array([1.5, np.nan]),
        "b": torch.tensor([[1, 2]]),
        "c": np.int64(3),
        4: torch.tensor(True),
        "p": tmp_path,
    }
    write_json(tmp_path / "a.json", value)
    wanted = {"a": [1.5, None], "b": [[1, 2]], "c": 3, "4": True, "p": str(tmp_path)}
    assert json.loads((tmp_path / "a.json").read_text()) == wanted


def test_json_has_null_for_what_is_no_number(tmp_path):
    write_json(tmp_path / "a.json", {"a": [float("nan"), float("inf"), 0.1]})
    assert (tmp_path / "a.json").read_text() == '{\n "a": [null, null, 0.1]\n}\n'


def test_json_has_a_table_s_rows_on_a_line_each(tmp_path):
    value = {"metrics": [{"x": 1, "of": "a\u2028\nb"}, {"x": [2], "of": None}], "config": {"k": {}, "more": {"e": []}}}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == value and text.split("\n")[3] == '  {"x": [2], "of": null}'


def test_json_is_read_from_regular_files_and_links_to_them_alone(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    (tmp_path / "link.json").symlink_to(tmp_path / "a.json")
    assert read_json(tmp_path / "link.json", dict) == {"a": 1}
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "endless.json").symlink_to("/dev/zero")
    for name in ("pipe.json", "endless.json", "."):  # a pipe without a writer and an endless file would never end
        with pytest.raises(UserError, match="is not a regular file"):
            read_json(tmp_path / name, dict)


@pytest.mark.parametrize("text", ['{"a": 1, "b": 2, "a": 1}', '{"b": [{"a": 1, "a": 2}]}', '{"b": {"a": {}, "a": {}}}'])
def test_a_key_that_is_set_twice_in_json_is_rejected_by_name(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json: 'a' is set twice; remove one"):
        read_json(tmp_path / "a.json", dict)
