"""Checkpoints from the Hugging Face Hub."""

import os
from dataclasses import dataclass
from pathlib import Path

from recbole.config import Config
from recbole.utils import UserError, sha256_of_file

_FORM = "hf://owner/repo[@revision]/path/to/file.pth, or hf://datasets/owner/repo[@revision]/... for a data set's files"
_KINDS = {"datasets": "dataset", "models": "model", "spaces": "space"}


@dataclass(frozen=True)
class Address:
    """A file of the Hub: the repository's name and kind, the path in it, and the branch, tag or commit (None: main)."""

    repo: str
    path: str
    kind: str = "model"
    revision: str | None = None


def parse_address(said: str, flag: str) -> Address:
    """Return what an address says.

    Raises:
        UserError: it is not of the form.
    """
    wrong = UserError(f"--{flag}: {said!r} is not of the form {_FORM}")
    parts = said.removeprefix("hf://").split("/")
    kind = _KINDS[parts.pop(0)] if parts[0] in _KINDS else "model"
    if not said.startswith("hf://") or len(parts) < 3:
        raise wrong
    owner, (name, at, revision), path = parts[0], parts[1].partition("@"), parts[2:]
    if not all([owner, name, *path]) or (at and not revision) or {".", ".."} & {owner, name, *path}:
        raise wrong
    return Address(f"{owner}/{name}", "/".join(path), kind, revision or None)


def fetch(said: str, config: Config, flag: str = "hf_model_path") -> Path:
    """Download a file, or find it in the cache, and return its local path.

    ``HF_ENDPOINT`` names another Hub; with ``HF_HUB_OFFLINE`` only the cache is looked at. ``hf_token``,
    ``hf_cache_dir`` and ``hf_sha256`` of the configuration count.

    Raises:
        UserError: when the address is not of the form, the file cannot be had, or it is not the one of that SHA-256.
    """
    address, token = parse_address(said, flag), config["hf_token"]
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise UserError("--hf_token holds a space, a line break or another character that no token has")
    path = _downloaded(said, address, token, config["hf_cache_dir"], flag)
    wanted = config["hf_sha256"]
    if wanted and (found := sha256_of_file(path)) != wanted.lower():
        raise UserError(f"--{flag}: {said} has the SHA-256 {found}, not the {wanted} of --hf_sha256")
    return path


def _downloaded(said: str, address: Address, token: str | None, cache: str | None, flag: str) -> Path:
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(
            address.repo, address.path, repo_type=address.kind, revision=address.revision, token=token, cache_dir=cache
        ))  # fmt: skip
    except errors.GatedRepoError:
        reason = "access has to be asked for on its page, and --hf_token given"
    except errors.RepositoryNotFoundError:
        reason = "there is no such repository, or --hf_token has no right to it"
    except errors.RevisionNotFoundError:
        reason = f"the repository has no revision {address.revision}"
    except errors.LocalEntryNotFoundError:  # comes before what it is a kind of
        offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE")
        why = "HF_HUB_OFFLINE is set" if offline else "the Hub cannot be reached"
        reason = f"it is not in the cache, and {why}"
    except errors.EntryNotFoundError:
        reason = "the repository has no such file"
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        no_right = "the Hub gives no right to it; look at --hf_token"
        reason = no_right if status in (401, 403) else f"the Hub answers {status or 'nothing'}"
    except Exception as error:  # of libraries for HTTP, names, files; what they say may hold the token
        text = (str(error).strip().splitlines() or [""])[0]
        text = text if not token or token not in text else ""
        reason = f"{type(error).__name__}{f': {text}' if text else ''}"
    raise UserError(f"--{flag}: {said} cannot be had: {reason}")
