"""Fetching sources: verification of files, and error messages. Without network: pip only uses a local folder."""

import hashlib
import zipfile

import pytest

from recbole.prepare.small_sources import fetch_from_package, fetch_from_url, from_first
from recbole.utils import UserError

MEMBER = "erase_example/data.txt"
DIGEST = hashlib.sha256(b"data").hexdigest()


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder with one wheel, which is the only source for pip."""
    with zipfile.ZipFile(tmp_path / "erase_example-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(MEMBER, "data")
        wheel.writestr(
            "erase_example-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: erase-example\nVersion: 1.0\n"
        )
        wheel.writestr(
            "erase_example-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("erase_example-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


def test_files_of_a_package_are_verified(shelf):
    assert fetch_from_package("erase-example==1.0", {MEMBER: DIGEST}) == {MEMBER: b"data"}
    with pytest.raises(UserError, match=r"erase_example/data.txt is not the expected file"):
        fetch_from_package("erase-example==1.0", {MEMBER: "0" * 64})
    with pytest.raises(UserError, match="There is no item named 'other' in the archive"):
        fetch_from_package("erase-example==1.0", {"other": DIGEST})
    with pytest.raises(UserError, match=r"pip could not download erase-example==2.0 \(ERROR: No matching distribution"):
        fetch_from_package("erase-example==2.0", {MEMBER: DIGEST})


def test_files_of_an_archive(shelf, tmp_path):
    (wheel,) = shelf.glob("*.whl")
    (shelf / "web").mkdir()
    archive = wheel.rename(shelf / "web/x.zip")
    for _ in range(2):
        assert fetch_from_url(archive.as_uri(), {MEMBER: DIGEST}, tmp_path / "raw") == {MEMBER: b"data"}
        archive.unlink(missing_ok=True)  # it is not downloaded a second time
    with pytest.raises(UserError, match="cannot download file:///no"):
        fetch_from_url("file:///no", {MEMBER: None}, tmp_path / "raw")
    archive.write_text("no archive")
    with pytest.raises(UserError, match=r"x.zip: the server did not send a .zip file"):
        fetch_from_url(archive.as_uri(), {MEMBER: None}, tmp_path / "other")
    (tmp_path / "raw/x.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=r"raw/x.zip: not a zip archive.*; delete the archive to download it again"):
        fetch_from_url(archive.as_uri(), {MEMBER: None}, tmp_path / "raw")


def test_the_next_source_is_tried(capsys):
    def broken():
        raise UserError("it rains")

    assert from_first({"one": broken, "two": lambda: 7}, "") == 7
    assert capsys.readouterr().out == "fetching one\n  failed: it rains\nfetching two\n"
    with pytest.raises(UserError, match="could not be downloaded; buy it"):
        from_first({"one": broken}, "buy it")
