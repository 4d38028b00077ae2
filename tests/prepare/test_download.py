"""Downloads from a local server that closes connections, resumes, changes the file, or sends wrong content."""

import gzip
import hashlib
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from recbole.prepare.download import download, read_archive, unpack
from recbole.utils import UserError

CONTENT = gzip.compress(bytes(range(256)) * 300, mtime=0) + b"\x00" * 5000


class Shop(BaseHTTPRequestHandler):
    """Serves ``server.content``.

    ``server.plan`` lists the failure of each request, ``server.asked`` the requested ranges.
    """

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        plan = server.plan.pop(0) if server.plan else {}
        if "raw" in plan:
            self.wfile.write(plan["raw"])
            return
        start = 0
        if self.headers.get("Range") and self.headers.get("If-Range") == server.tag and "deaf" not in plan:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(server.content):
            self.send_error(416)
            return
        self.send_response(206 if start else plan.get("status", 200))
        body = plan.get("body", server.content[start:])
        if start:
            at = plan.get("says", start)
            self.send_header("Content-Range", f"bytes {at}-{len(server.content) - 1}/{len(server.content)}")
        if server.tag:
            self.send_header("ETag", server.tag)
        self.send_header("Content-Type", plan.get("type", "application/octet-stream"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: plan.get("cut", len(body))])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def shop():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.content, server.tag, server.plan, server.asked = CONTENT, '"v1"', [], []
    server.url = f"http://127.0.0.1:{server.server_port}/x.gz"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_symbolic_links_in_place_of_the_partial_file_are_not_followed(shop, tmp_path):
    for name in ("x.gz.partial", "x.gz.partial.version"):
        (tmp_path / f"mine_{name}").write_text("kept")
        (tmp_path / name).symlink_to(tmp_path / f"mine_{name}")
    download(shop.url, tmp_path / "x.gz")
    assert (tmp_path / "x.gz").read_bytes() == CONTENT
    assert {path.read_text() for path in tmp_path.glob("mine_*")} == {"kept"}


def test_an_interrupted_download_resumes(shop, tmp_path):
    shop.plan = [{"cut": 1000}, {"cut": 500}]
    path = tmp_path / "raw/x.gz"
    with pytest.raises(UserError, match=rf"x.gz: received 1000 of {len(CONTENT)} bytes; run again to continue"):
        download(shop.url, path)
    with pytest.raises(UserError, match=f"received 1500 of {len(CONTENT)}"):
        download(shop.url, path)
    assert names(tmp_path / "raw") == ["x.gz.partial", "x.gz.partial.version"]
    download(shop.url, path, hashlib.sha256(CONTENT).hexdigest())
    assert path.read_bytes() == CONTENT
    assert shop.asked == [None, "bytes=1000-", "bytes=1500-"]
    assert names(tmp_path / "raw") == ["x.gz"]


@pytest.mark.parametrize("tag", ['"v2"', None])
def test_a_changed_file_is_not_appended_to_the_partial_one(shop, tmp_path, tag):
    shop.plan = [{"cut": 1000}]
    if tag is None:
        shop.tag = None  # without an ETag versions cannot be distinguished, so that no range is requested
    with pytest.raises(UserError, match="received 1000"):
        download(shop.url, tmp_path / "x.gz")
    shop.content, shop.tag = CONTENT[::-1].replace(b"\x00", b"\x1f\x8b", 1), tag
    shop.content = b"\x1f\x8b" + shop.content
    download(shop.url, tmp_path / "x.gz")
    assert (tmp_path / "x.gz").read_bytes() == shop.content
    assert shop.asked == [None, None if tag is None else "bytes=1000-"]


def test_a_complete_partial_file_is_downloaded_again(shop, tmp_path):
    (tmp_path / "x.gz.partial").write_bytes(b"?" * len(CONTENT))
    (tmp_path / "x.gz.partial.version").write_text('"v1"')
    download(shop.url, tmp_path / "x.gz")
    assert (tmp_path / "x.gz").read_bytes() == CONTENT
    assert shop.asked == [f"bytes={len(CONTENT)}-", None]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"raw": b"nonsense\r\n\r\n"}, "cannot download"),
        ({"raw": b""}, "cannot download"),
        (
            {"status": 404},
            "cannot download .* run again to continue, or download it manually and pass its folder with --from",
        ),
        ({"type": "text/html; charset=utf-8"}, "the server sent a web page instead of the file"),
        ({"body": b"\n<!DOCTYPE html><p>Log in"}, "the server sent a web page instead of the file"),
        ({"body": b"a,b\n"}, "the server did not send a .gz file"),
        ({}, r"another file than expected \(its SHA-256 differs\)"),
    ],
)
def test_wrong_content_is_rejected(shop, tmp_path, plan, message):
    shop.plan = [plan]
    with pytest.raises(UserError, match=message) as told:
        download(shop.url, tmp_path / "x.gz", "0" * 64)
    assert "\n" not in str(told.value)
    assert names(tmp_path) == []


def test_a_wrong_range_is_rejected(shop, tmp_path):
    shop.plan = [{"cut": 10}, {"says": 3}]
    for message in ("received 10", "the server sent another part"):
        with pytest.raises(UserError, match=message):
            download(shop.url, tmp_path / "x.gz")
    download(shop.url, tmp_path / "x.gz")
    assert (tmp_path / "x.gz").read_bytes() == CONTENT


def test_a_server_that_does_not_answer_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"cannot download http://127.0.0.1:9/x \(.*refused"):
        download("http://127.0.0.1:9/x", tmp_path / "x")
    with pytest.raises(UserError, match="cannot download nonsense"):
        download("nonsense", tmp_path / "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:50] + b"\xff" * 40 + content[90:], "not a zip archive|cannot be unpacked"),
        (lambda content: content[: len(content) // 2], "not a zip archive"),
        (lambda content: b"PK\x03\x04", "not a zip archive"),
        (lambda content: content.replace(b"b.csv", b"c.csv"), "There is no item named 'a/b.csv'"),
    ],
)
def test_damaged_archives_are_errors(tmp_path, change, message):
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a/b.csv", "".join(map(str, range(2000))))
    sound = archive.read_bytes()
    unpack(archive, ["a/b.csv"], tmp_path / "good")
    assert (tmp_path / "good/b.csv").read_text() == "".join(map(str, range(2000)))
    archive.write_bytes(change(sound))
    for read in (
        lambda: unpack(archive, ["a/b.csv"], tmp_path / "bad"),
        lambda: read_archive(archive, {"a/b.csv": None}),
    ):
        with pytest.raises(UserError, match=message) as told:
            read()
        assert "\n" not in str(told.value)
    assert not list((tmp_path / "bad").glob("*"))


def test_members_are_verified(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        opened.writestr("a", "1")
    known = {"a": hashlib.sha256(b"1").hexdigest()}
    assert read_archive(tmp_path / "x.zip", known) == {"a": b"1"}
    with pytest.raises(UserError, match=r"^shop: a is not the expected file \(its SHA-256 differs\)"):
        read_archive(tmp_path / "x.zip", {"a": "0" * 64}, "shop")
