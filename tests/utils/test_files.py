"""Files are whole or absent, and a run finds out early that it cannot write."""

import json
import os

import numpy as np
import pytest
import torch

from recbole.utils import UserError, atomic_write, check_writable, write_json


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
