"""Folders are created, and what is in the way is named."""

import pytest

from recbole.utils import UserError, check_writable
from recbole.utils.folders import make_folder


def test_missing_folders_are_created_and_existing_ones_stay(tmp_path):
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "b" / "file").touch()
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "file").exists()


@pytest.mark.parametrize(
    ("name", "told"), [("file", "not a folder"), ("link", "a link to a place that does not exist")]
)
@pytest.mark.parametrize("below", ["", "further/folders"])
def test_what_is_in_the_way_is_named(tmp_path, name, told, below):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(OSError, match=f"{tmp_path / name} is {told}"):
        make_folder(tmp_path / name / below)
    with pytest.raises(UserError, match=f"cannot write .*: {tmp_path / name} is {told}"):
        check_writable(tmp_path / name / below / "model.pth")
