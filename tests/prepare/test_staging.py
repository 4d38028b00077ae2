"""All of a preparation's files appear, or none."""

import os

import pytest

from recbole.prepare.staging import staged, workspace
from recbole.utils import UserError


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_appear_together(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_text("old")
    (tmp_path / "out/mine").write_text("kept")
    with staged(tmp_path / "out") as folder:
        (folder / "a").write_text("new")
        (folder / "b").write_text("new")
        assert (tmp_path / "out/a").read_text() == "old" and not (tmp_path / "out/b").exists()
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {
        "a": "new",
        "b": "new",
        "mine": "kept",
    }


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("fault", [UserError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_failure_changes_nothing(tmp_path, there, fault):
    out = tmp_path / "deep/out"
    if there:
        out.mkdir(parents=True)
        (out / "a").write_text("old")
    before = tree(tmp_path)
    with pytest.raises(KeyboardInterrupt if isinstance(fault, KeyboardInterrupt) else UserError), staged(out) as folder:
        (folder / "a").write_text("new")
        raise fault
    assert tree(tmp_path) == before
    assert out.exists() == there
    assert [path.name for path in tmp_path.iterdir()] == ["deep"] * there


def test_a_folder_in_the_way_is_told_before_anything_is_moved(tmp_path):
    (tmp_path / "out/b").mkdir(parents=True)
    with pytest.raises(UserError, match="out/b: it is a folder"), staged(tmp_path / "out") as folder:
        (folder / "a").write_text("new")
        (folder / "b").write_text("new")
    assert tree(tmp_path) == {}
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot prepare .*file: .*: Not a directory"), staged(tmp_path / "file"):
        pass


def test_what_a_kill_left_is_taken_over(tmp_path):
    with pytest.raises(SystemExit), workspace(tmp_path / "out", "partial") as folder:
        name = folder
        raise SystemExit
    name.mkdir()
    (name / "half").touch()
    with staged(tmp_path / "out") as folder:
        assert folder == name and os.listdir(folder) == []
        (folder / "a").touch()
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == ["a"]
