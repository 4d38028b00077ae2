"""Files from the Hugging Face Hub, with a replaced download function."""

import hashlib

import huggingface_hub
import pytest
from huggingface_hub import errors

from recbole.quick_start.hub import fetch, parse_address
from recbole.utils import UserError


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in: it records the requested files, and returns a file or raises ``answer``."""
    file = tmp_path / "model.pth"
    file.write_bytes(b"weights")
    asked = {"answer": None, "file": file}

    def download(repo, path, **options):
        asked["of"] = (repo, path, options)
        if asked["answer"] is not None:
            raise asked["answer"]
        return str(file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def settings(**given):
    return {"hf_token": None, "hf_cache_dir": None, "hf_sha256": None} | given


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("hf://o/r/a/b.pth", ("o/r", "a/b.pth", "model", None)),
        ("hf://o/r@v1/b.pth", ("o/r", "b.pth", "model", "v1")),
        ("hf://datasets/o/r/b.pth", ("o/r", "b.pth", "dataset", None)),
        ("hf://datasets/o/r@main/a/b.pth", ("o/r", "a/b.pth", "dataset", "main")),
    ],
)
def test_an_address_has_kind_repository_revision_and_file(hub, said, found):
    assert fetch(said, settings()) == hub["file"]
    repo, path, options = hub["of"]
    assert (repo, path, options["repo_type"], options["revision"]) == found


@pytest.mark.parametrize(
    "said",
    ["o/r/b", "hf://", "hf://o/r", "hf://o//b", "hf://datasets/o/r", "hf://o/r@/b", "hf://o/../b", "http://o/r/b"],
)
def test_other_addresses_are_rejected(said):
    with pytest.raises(UserError, match="does not have the form"):
        parse_address(said, "base_checkpoint")


def test_the_file_must_have_the_given_sha256(hub):
    right = hashlib.sha256(b"weights").hexdigest()
    assert fetch("hf://o/r/b", settings(hf_sha256=right.upper())) == hub["file"]
    with pytest.raises(UserError, match=f"{right}, but --hf_sha256 is 00"):
        fetch("hf://o/r/b", settings(hf_sha256="00" * 32))


class Response:
    status_code, headers, request = 403, {}, None


def made(kind):
    error = kind.__new__(kind)
    Exception.__init__(error, "first line\nsecret-token")
    error.response = Response()
    return error


@pytest.mark.parametrize(
    ("answer", "offline", "told"),
    [
        (made(errors.EntryNotFoundError), "0", "no such file"),
        (made(errors.RepositoryNotFoundError), "0", "no such repository"),
        (made(errors.RevisionNotFoundError), "0", "no revision v1"),
        (made(errors.GatedRepoError), "0", "access"),
        (made(errors.LocalEntryNotFoundError), "0", "cannot be reached"),
        (made(errors.LocalEntryNotFoundError), "1", "HF_HUB_OFFLINE"),
        (made(errors.HfHubHTTPError), "0", "denies access"),
        (RuntimeError("bad header: secret-token"), "0", "RuntimeError"),
        (ConnectionError("nobody there"), "0", "nobody there"),
    ],
)
def test_errors_are_one_line_without_the_token(hub, monkeypatch, answer, offline, told):
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    hub["answer"] = answer
    with pytest.raises(UserError) as error:
        fetch("hf://o/r@v1/b", settings(hf_token="secret-token"))
    assert told in str(error.value) and "secret" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("token", ["secret\nline", "secret two", "sécret", "secret\r"])
def test_an_invalid_token_is_rejected_and_not_shown(hub, token):
    with pytest.raises(UserError) as error:
        fetch("hf://o/r/b", settings(hf_token=token))
    assert "--hf_token" in str(error.value) and "cret" not in str(error.value)
    assert "of" not in hub
