"""Downloading files, and reading files in zip archives."""

import contextlib
import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from email.message import Message
from pathlib import Path

from recbole.utils import UserError, atomic_write, sha256_of_file
from recbole.utils.lock import writer

_PATIENCE = 60
_BLOCK = 1 << 20
_BEGINNINGS = {".gz": b"\x1f\x8b", ".zip": b"PK\x03\x04"}
_WEB_PAGE = (b"<!doctype html", b"<html")
_BY_HAND = "download it manually and pass its folder with --from"


def download(url: str, path: str | Path, sha256: str | None = None) -> None:
    """Download a file. It gets its final name only when it is complete.

    If the download is interrupted, the received part is kept as ``<path>.partial``. The next call requests only the
    rest, unless the server's file has changed since; to recognise this, the file's ETag or modification time is stored
    as ``<path>.partial.version``. If two processes download the same file, the second one waits for the first.

    Args:
        url: the URL.
        path: the file to write. If its name ends in ``.gz`` or ``.zip``, the content must have this format.
        sha256: the expected SHA-256 of the content, 64 hexadecimal digits; None if unknown.

    Raises:
        UserError: the URL cannot be reached, the download ends too early, or the content is not the expected file.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial")
    version = path.with_name(f"{path.name}.partial.version")
    try:
        with writer(path) as held:
            if held.waited and path.is_file():
                return
            for kept in (partial, version):
                if kept.is_symlink():  # never write through a symbolic link
                    kept.unlink()
            _fetch(url, partial, version)
            fault = _fault(partial, path.suffix, sha256)
            version.unlink(missing_ok=True)
            if fault:
                partial.unlink()
                raise UserError(f"{url}: {fault}; {_BY_HAND}")
            os.replace(partial, path)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        reason = " ".join(f"{reason or type(error).__name__}".split())
        raise UserError(f"cannot download {url} ({reason}); run again to continue, or {_BY_HAND}") from error


def _fetch(url: str, partial: Path, version: Path) -> None:
    """Request the rest of a partly received file, or all of it if the server's file has changed.

    Args:
        url: the URL.
        partial: the received part, which is completed; it need not exist.
        version: the file with the ETag or modification time of the server's file; it need not exist.

    Raises:
        OSError: the URL cannot be reached, or the server sent another part than the requested one.
        UserError: the response is a web page, or its length is not the announced one.
    """
    have = partial.stat().st_size if partial.is_file() and version.is_file() else 0
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version.read_text(encoding="latin-1"))
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as response:
            if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                partial.unlink()
                raise OSError("the server sent another part of the file than the requested one")
            _store(url, response, partial, version, have if response.status == 206 else 0)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        partial.unlink()  # the server has no more bytes, but the partial file may be incomplete: start over
        _fetch(url, partial, version)


def _store(url: str, response: http.client.HTTPResponse, partial: Path, version: Path, have: int) -> None:
    """Store the content of a response.

    Args:
        url: the URL, for messages.
        response: the server's response.
        partial: the file with the part received so far, to which the content is appended.
        version: the file for the ETag or modification time of the server's file.
        have: the number of bytes received so far; with 0, new files are started.

    Raises:
        UserError: the response is a web page, or its length is not the announced one.
    """
    if response.headers.get_content_type() == "text/html":
        raise UserError(f"{url}: the server sent a web page instead of the file; {_BY_HAND}")
    if not have:
        _remember(response.headers, version)
    with open(partial, "ab" if have else "wb") as file:
        shutil.copyfileobj(response, file, _BLOCK)
        got = file.tell()
    announced = response.headers.get("Content-Length")
    if announced is not None and got != have + int(announced):
        raise UserError(f"{url}: received {got} of {have + int(announced)} bytes; run again to continue")


def _remember(headers: Message, version: Path) -> None:
    """Store the ETag or, without a strong one, the modification time from a response's headers in a file.

    If the headers contain neither, the file is deleted, so that a later call does not continue the download.
    """
    tag = headers.get("ETag") or ""
    known = headers.get("Last-Modified") if not tag or tag.startswith("W/") else tag
    if known:
        version.write_text(known, encoding="latin-1")
    else:
        version.unlink(missing_ok=True)


def _fault(path: Path, suffix: str, sha256: str | None) -> str | None:
    """Return the reason why a downloaded file is not the expected one, or None if nothing is wrong.

    Args:
        path: the downloaded file.
        suffix: the suffix of its final name; for ``.gz`` and ``.zip`` the content must have this format.
        sha256: the expected SHA-256, or None if unknown.
    """
    with open(path, "rb") as file:
        beginning = file.read(512)
    if beginning.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_WEB_PAGE):
        return "the server sent a web page instead of the file"
    if not beginning.startswith(_BEGINNINGS.get(suffix, b"")):
        return f"the server did not send a {suffix} file"
    if sha256 is not None and sha256_of_file(path) != sha256:
        return "the server sent another file than expected (its SHA-256 differs)"
    return None


def unpack(archive: str | Path, members: Iterable[str], folder: str | Path) -> None:
    """Extract files from a zip archive into a folder, without their paths inside the archive.

    Args:
        archive: the path of the zip file.
        members: the paths of the files inside the archive.
        folder: the folder to write to.

    Raises:
        UserError: the archive is not a zip file, is damaged, or does not contain one of the files.
    """
    with _opened(archive) as opened:
        for member in members:
            with opened.open(member) as source, atomic_write(Path(folder) / Path(member).name, "wb") as file:
                shutil.copyfileobj(source, file, _BLOCK)


def read_archive(
    archive: str | Path, members: Mapping[str, str | None], name: str | Path | None = None
) -> dict[str, bytes]:
    """Read files from a zip archive.

    Args:
        archive: the path of the zip file.
        members: dict from the path of each file inside the archive to its expected SHA-256 (64 hexadecimal digits), or
            to None if unknown.
        name: the archive's name in messages; None for its path.

    Returns:
        A dict from the path of each file inside the archive to its content.

    Raises:
        UserError: the archive is not a zip file or is damaged, or one of the files is missing or has another SHA-256.
    """
    name = name or archive
    with _opened(archive, name) as opened:
        content = {member: opened.read(member) for member in members}
    for member, sha256 in members.items():
        if sha256 is not None and hashlib.sha256(content[member]).hexdigest() != sha256:
            raise UserError(f"{name}: {member} is not the expected file (its SHA-256 differs)")
    return content


@contextlib.contextmanager
def _opened(archive: str | Path, name: str | Path | None = None) -> Iterator[zipfile.ZipFile]:
    name = name or archive
    try:
        with zipfile.ZipFile(archive) as opened:
            yield opened
    except KeyError as error:
        raise UserError(f"{name}: {error.args[0]}") from error
    except zipfile.BadZipFile as error:
        raise UserError(f"{name}: not a zip archive, or a damaged one ({error})") from error
    except (zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise UserError(f"{name}: cannot be unpacked ({error or 'the file ends too early'})") from error
