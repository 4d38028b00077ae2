"""Either all files of a preparation appear, or none."""

import os
import signal
from pathlib import Path

import pytest

from recbole.utils import UserError
from recbole.utils.staging import staged


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
    with pytest.raises(UserError, match=r"cannot write to .*file: .*: Not a directory"), staged(tmp_path / "file"):
        pass


def killed(folder, at, monkeypatch, **settings):
    """Prepare two files in a child that dies when it is about to move the one with a number, from 0."""
    child = os.fork()
    if child == 0:
        real, moved = os.replace, []

        def replace(source, target):
            if len(moved) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            moved.append(target)
            real(source, target)

        os.replace = replace
        with staged(folder, **settings) as stage:
            (stage / "a").write_text("new")
            (stage / "b").write_text("new")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("at", [0, 1])
def test_a_kill_between_two_files_leaves_no_mixed_set_and_the_next_run_works(tmp_path, monkeypatch, at):
    out = tmp_path / "out"
    out.mkdir()
    for name in "ab":
        (out / name).write_text("old")
    killed(out, at, monkeypatch, last="a")
    assert not (out / "a").exists() and (out / "b").read_text() == ("new" if at else "old")
    with staged(out, last="a") as stage:
        (stage / "a").write_text("again")
        (stage / "b").write_text("again")
    assert {path.name: path.read_text() for path in out.iterdir()} == {"a": "again", "b": "again"}


def test_two_at_once_do_not_touch_each_others_files(tmp_path):
    with staged(tmp_path / "out") as one:
        (one / "a").write_text("one")
        with staged(tmp_path / "out") as other:
            (other / "a").write_text("other")
            assert one != other and (one / "a").read_text() == "one"
        assert (tmp_path / "out/a").read_text() == "other" and (one / "a").read_text() == "one"
    assert tree(tmp_path) == {Path("out/a"): b"one"}


@pytest.mark.parametrize("into_a_folder", [False, True])
def test_a_link_that_was_put_where_a_workspace_may_be_is_not_followed(tmp_path, into_a_folder):
    mine, out = tmp_path / "mine", tmp_path / "out"
    mine.mkdir()
    (mine / "kept").touch()
    out.mkdir()
    for name in (".out.partial", ".out.00000000.erase.partial"):
        (out / name).symlink_to(mine if into_a_folder else mine / "kept")
    with staged(out) as stage:
        (stage / "a").touch()
    assert os.listdir(mine) == ["kept"] and (out / "a").exists()
