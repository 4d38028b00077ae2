"""Downloading checkpoints from the Hugging Face Hub."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from recbole.config import Config
from recbole.utils import UserError, sha256_of_file

_FORM = "hf://owner/repo[@revision]/path/to/file.pth, or hf://datasets/owner/repo[@revision]/... for a data set's files"
_KINDS = {"datasets": "dataset", "models": "model", "spaces": "space"}


@dataclass(frozen=True)
class Address:
    """The address of a file on the Hub.

    Attributes:
        repo: the repository, as ``owner/name``.
        path: the file's path in the repository.
        kind: ``model``, ``dataset`` or ``space``.
        revision: a branch, tag or commit; None for the main branch.
    """

    repo: str
    path: str
    kind: str = "model"
    revision: str | None = None


def parse_address(said: str, flag: str) -> Address:
    """Parse an address ``hf://owner/repo[@revision]/path``.

    Args:
        said: the text of the address.
        flag: the name of the command-line flag with the address, for the message.

    Raises:
        UserError: the text does not have this form.
    """
    wrong = UserError(f"--{flag}: {said!r} does not have the form {_FORM}")
    parts = said.removeprefix("hf://").split("/")
    kind = _KINDS[parts.pop(0)] if parts[0] in _KINDS else "model"
    if not said.startswith("hf://") or len(parts) < 3:
        raise wrong
    owner, (name, at, revision), path = parts[0], parts[1].partition("@"), parts[2:]
    if not all([owner, name, *path]) or (at and not revision) or {".", ".."} & {owner, name, *path}:
        raise wrong
    return Address(f"{owner}/{name}", "/".join(path), kind, revision or None)


def fetch(said: str, config: Config, flag: str = "hf_model_path") -> Path:
    """Download a file from the Hugging Face Hub, unless it is in the local cache, and return its local path.

    The environment variable ``HF_ENDPOINT`` selects another server. With ``HF_HUB_OFFLINE`` only the cache is used.

    Args:
        said: the address, ``hf://owner/repo[@revision]/path``.
        config: provides ``hf_token``, ``hf_cache_dir`` and ``hf_sha256``.
        flag: the name of the command-line flag with the address, for messages.

    Raises:
        UserError: the address or the token is malformed, the file cannot be downloaded, or its SHA-256 is not
            ``hf_sha256``.
    """
    address, token = parse_address(said, flag), config["hf_token"]
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise UserError("--hf_token contains a space, a line break or another character that tokens cannot contain")
    path = _downloaded(said, address, token, config["hf_cache_dir"], flag)
    wanted = config["hf_sha256"]
    if wanted and (found := sha256_of_file(path)) != wanted.lower():
        raise UserError(f"--{flag}: {said} has the SHA-256 {found}, but --hf_sha256 is {wanted}")
    return path


def _downloaded(said: str, address: Address, token: str | None, cache: str | None, flag: str) -> Path:
    from huggingface_hub import errors, hf_hub_download

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # no warning for each of its attempts
    try:
        return Path(hf_hub_download(
            address.repo, address.path, repo_type=address.kind, revision=address.revision, token=token, cache_dir=cache
        ))  # fmt: skip
    except errors.GatedRepoError:
        reason = "the repository is gated: request access on its page, and give --hf_token"
    except errors.RepositoryNotFoundError:
        reason = "there is no such repository, or --hf_token has no access to it"
    except errors.RevisionNotFoundError:
        reason = f"the repository has no revision {address.revision}"
    except errors.LocalEntryNotFoundError:  # a subclass of EntryNotFoundError, so it is caught first
        offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE")
        why = "HF_HUB_OFFLINE is set" if offline else "the Hub cannot be reached"
        reason = f"it is not in the cache, and {why}"
    except errors.EntryNotFoundError:
        reason = "the repository has no such file"
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        no_right = "the Hub denies access; check --hf_token"
        reason = no_right if status in (401, 403) else f"the Hub responds with {status or 'nothing'}"
    except Exception as error:  # raised by libraries for HTTP, DNS or files; its text may contain the token
        text = (str(error).strip().splitlines() or [""])[0]
        text = text if not token or token not in text else ""
        reason = f"{type(error).__name__}{f': {text}' if text else ''}"
    raise UserError(f"--{flag}: cannot download {said}: {reason}")
