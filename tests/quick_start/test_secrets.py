"""Tokens and secrets never appear in files or output of a run, however they are given."""

import base64
import contextlib
import functools
import hashlib
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
from tiny_tasks import inside

from recbole.quick_start.main import train_main, unlearn_main
from recbole.trainer import TrainingLoop

TOKEN = "hf_SecretOfTheTests0123456789"
COMMON = ("--model", "BPR", "--dataset", "tiny", "--tensorboard", "True")
FORGETTING = ("--sensitive_category", "horror", "--unlearning_fraction", "0.01")
BASE = "base.pth"


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the Hub that serves one file, records the credentials it got, and has the token in its errors."""
    had = {"content": b"", "asked": []}

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self):
            had["asked"].append(self.headers.get("authorization"))
            found = self.path.endswith(f"/{BASE}")
            self.send_response(200 if found else 418, None if found else f"no {had['asked'][-1]}")
            self.send_header("ETag", f'"{hashlib.sha256(had["content"]).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", str(len(had["content"])))
            self.end_headers()
            return found

        def do_GET(self):
            if self.do_HEAD():
                self.wfile.write(had["content"])

        def log_message(self, *_of):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_address[1]}"
        of_here = functools.partial(huggingface_hub.hf_hub_download, endpoint=here)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", of_here)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        yield had
        server.shutdown()


def _called(main, folder, *words):
    """Run a program, and return its status and its whole output."""
    err = io.StringIO()
    with inside(folder) as out, contextlib.redirect_stderr(err):
        try:
            status = main([*COMMON, *words])
        except SystemExit as stop:
            status = stop.code
    return status, out.getvalue() + err.getvalue()


@pytest.mark.parametrize("way", ["flag", "equals", "file", "environment"])
def test_the_token_is_neither_written_nor_printed(world, tmp_path, monkeypatch, hub, way):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    place, settings = world(tmp_path / "place"), ("--config_files", "tiny.yaml")
    given = {"flag": ("--hf_token", TOKEN), "equals": (f"--hf_token={TOKEN}",)}.get(way, ())
    if way == "file":
        (tmp_path / "secret.yaml").write_text(f"hf_token: {TOKEN}\n")
        settings = ("--config_files", f"tiny.yaml {tmp_path / 'secret.yaml'}")
    if way == "environment":
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    words = (*settings, *given, "--result_file", "result.json", "--hf_cache_dir", "cache")

    status, told = _called(train_main, place.folder, *words)
    assert status == 0, told
    (base,) = place.saved.glob("*_best.pth")
    hub["content"] = base.read_bytes()
    steps, step = [], TrainingLoop._step
    monkeypatch.setattr(TrainingLoop, "_step", lambda loop, batch: _stops(steps) or step(loop, batch))
    status, more = _called(train_main, place.folder, *words, "--variant", "stopped")
    assert status == 130 and list(place.saved.glob("stopped/*.resume")), more
    told += more
    for name, expected in ((BASE, 0), ("other.pth", 2)):
        more = (*FORGETTING, "--base_checkpoint", f"hf://owner/repo/{name}")
        status, more = _called(unlearn_main, place.folder, *words, *more)
        assert status == expected, more
        told += more
    status, more = _called(unlearn_main, place.folder, *words, *FORGETTING, "--unlearning_algorithm", "nonsense")
    assert status == 2, more

    assert f"Bearer {TOKEN}" in hub["asked"], "the Hub received the token"
    written = {path: path.read_bytes() for path in place.folder.rglob("*") if path.is_file()}
    endings = {path.suffix for path in written}
    assert {".log", ".json", ".jsonl", ".pth", ".resume"} <= endings
    assert any("tfevents" in path.name for path in written)
    for secret in (TOKEN.encode(), TOKEN[3:].encode(), base64.b64encode(TOKEN.encode())[:-4]):
        assert secret not in (told + more).encode()
        assert [path for path, content in written.items() if secret in content] == []


def _stops(steps):
    steps.append(True)
    if len(steps) == 30:
        raise KeyboardInterrupt
