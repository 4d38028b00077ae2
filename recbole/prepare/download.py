"""Files from the web, and files in zip archives."""

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
_BY_HAND = "fetch it by hand and give its folder with --from"


def download(url: str, path: str | Path, sha256: str | None = None) -> None:
    """Write what an address holds to a file, whole or not at all.

    What has come when it breaks off is kept beside the file, under its name with ``.partial``. The next call asks only
    for the rest, if the server can tell that it still has the same file (by its ETag or its time of change, which
    stands in ``.partial.version``). One process at a time fetches a file.

    Args:
        url: the address.
        path: the file; the end of its name, ``.gz`` or ``.zip``, says how its content must begin.
        sha256: what the content must have, 64 hexadecimal digits, or None if that is not known.

    Raises:
        UserError: it cannot be reached, ends too early, is a web page, or is not the expected file.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial")
    version = path.with_name(f"{path.name}.partial.version")
    try:
        with writer(path) as held:
            if held.waited and path.is_file():
                return
            for kept in (partial, version):
                if kept.is_symlink():  # whoever put it there, it is not followed
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
        raise UserError(f"cannot download {url} ({reason}); run it again to go on, or {_BY_HAND}") from error


def _fetch(url: str, partial: Path, version: Path) -> None:
    """Complete the partial file, or start it anew if the server does not go on with the same one."""
    have = partial.stat().st_size if partial.is_file() and version.is_file() else 0
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version.read_text(encoding="latin-1"))
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as response:
            if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                partial.unlink()
                raise OSError("the server sent another part than the one asked for")
            _store(url, response, partial, version, have if response.status == 206 else 0)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        partial.unlink()  # there is nothing beyond what we have, and what we have is not known to be whole
        _fetch(url, partial, version)


def _store(url: str, response: http.client.HTTPResponse, partial: Path, version: Path, have: int) -> None:
    """Append the response's content to the first ``have`` bytes of the partial file."""
    if response.headers.get_content_type() == "text/html":
        raise UserError(f"{url}: a web page came instead of the file; {_BY_HAND}")
    if not have:
        _remember(response.headers, version)
    with open(partial, "ab" if have else "wb") as file:
        shutil.copyfileobj(response, file, _BLOCK)
        got = file.tell()
    announced = response.headers.get("Content-Length")
    if announced is not None and got != have + int(announced):
        raise UserError(f"{url}: got {got} of {have + int(announced)} bytes; run it again to go on")


def _remember(headers: Message, version: Path) -> None:
    tag = headers.get("ETag") or ""
    known = headers.get("Last-Modified") if not tag or tag.startswith("W/") else tag
    if known:
        version.write_text(known, encoding="latin-1")
    else:
        version.unlink(missing_ok=True)


def _fault(path: Path, suffix: str, sha256: str | None) -> str | None:
    """Return why this cannot be the file that was asked for, or None."""
    with open(path, "rb") as file:
        beginning = file.read(512)
    if beginning.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_WEB_PAGE):
        return "a web page came instead of the file"
    if not beginning.startswith(_BEGINNINGS.get(suffix, b"")):
        return f"what came is no {suffix} file"
    if sha256 is not None and sha256_of_file(path) != sha256:
        return "what came is not the file that was expected (its SHA-256 differs)"
    return None


def unpack(archive: str | Path, members: Iterable[str], folder: str | Path) -> None:
    """Write members of a zip archive to a folder, under the last part of their names.

    Raises:
        UserError: it is no zip archive, is damaged, or lacks a member.
    """
    with _opened(archive) as opened:
        for member in members:
            with opened.open(member) as source, atomic_write(Path(folder) / Path(member).name, "wb") as file:
                shutil.copyfileobj(source, file, _BLOCK)


def read_archive(
    archive: str | Path, members: Mapping[str, str | None], name: str | Path | None = None
) -> dict[str, bytes]:
    """Return a dict from each member's path to its bytes.

    Args:
        archive: the path of a zip file.
        members: dict from the paths inside to the SHA-256 of each, or None where that is not known.
        name: what errors call the archive, its path by default.

    Raises:
        UserError: it is no zip archive, is damaged, lacks a member, or a member is not the expected one.
    """
    name = name or archive
    with _opened(archive, name) as opened:
        content = {member: opened.read(member) for member in members}
    for member, sha256 in members.items():
        if sha256 is not None and hashlib.sha256(content[member]).hexdigest() != sha256:
            raise UserError(f"{name}: {member} is not the file that was expected (its SHA-256 differs)")
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
        raise UserError(f"{name}: cannot be unpacked ({error or 'it ends too early'})") from error
