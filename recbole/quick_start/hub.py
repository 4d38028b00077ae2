"""Checkpoints from the Hugging Face Hub."""

from recbole.utils import UserError

_FORM = "hf://owner/repo/path/to/file.pth"


def fetch(address: str, token: str | None = None, cache_dir: str | None = None, flag: str = "hf_model_path") -> str:
    """Download ``hf://owner/repo/file`` and return its local path. ``HF_ENDPOINT`` names another Hub.

    Raises:
        UserError: when the address is not of that form, or the file cannot be had.
    """
    parts = address.removeprefix("hf://").split("/", 2)
    if not address.startswith("hf://") or len(parts) != 3 or not all(parts):
        raise UserError(f"--{flag}: '{address}' is not of the form {_FORM}")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return hf_hub_download(f"{parts[0]}/{parts[1]}", parts[2], token=token, cache_dir=cache_dir)
    except LocalEntryNotFoundError as error:
        raise UserError(f"--{flag}: {address} is not cached and the Hub cannot be reached") from error
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"--{flag}: {address} cannot be had: {reason}") from error
