"""Checkpoint files: tensors and plain metadata, written atomically, and read without executing code from the file."""

import hashlib
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

import torch

from recbole.config import Config
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer.archive import check_content, checked_archive
from recbole.trainer.original import STORAGES, read_original
from recbole.utils import UserError, atomic_write, sha256_of_file


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write a dictionary of tensors and plain values to a file atomically, without copying the tensors in memory.

    Equal dictionaries give identical bytes. If a ``.pth`` file is replaced, the ``.json`` record of the old file is
    deleted as well.

    Raises:
        UserError: the disk is full or the folder cannot be written to; an older file stays unchanged.
    """
    path = Path(path)
    told_by = path.with_suffix(".json") if path.suffix == ".pth" else None
    with atomic_write(path, "wb", told_by) as file:
        stream = _Stream(file)
        try:
            torch.save(_unshared(state), cast(IO[bytes], stream))
        except RuntimeError:
            if stream.error is None:
                raise
            raise stream.error from None
    _written[path.absolute()] = stream.hash.hexdigest()


_written: dict[Path, str] = {}
"""SHA-256 (hexadecimal) of each checkpoint that this process has written, by absolute path."""


def sha256_of_checkpoint(path: Path) -> str:
    """Return the SHA-256 (hexadecimal) of a checkpoint file.

    If this process wrote the file, the result is the SHA-256 of the bytes that were written, even if the file has been
    damaged since. A record with this SHA-256 then reveals the damage.
    """
    return _written.get(path.absolute()) or sha256_of_file(path)


def _unshared(value: Any) -> Any:
    """Return a copy of nested containers in which no container occurs twice and equal strings are the same object.

    A pickle records where the same object occurs several times, and reading a snapshot changes which objects are the
    same. Without this step, equal values could give different bytes.
    """
    if isinstance(value, dict):
        return {_unshared(key): _unshared(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_unshared, value))
    return sys.intern(value) if type(value) is str else value


def save_unlearned(
    path: Path, released: dict[str, Any], config: Config, last_request: int, meta: dict[str, Any]
) -> None:
    """Write the checkpoint of an unlearned model, with the keys that RecBole and ERASE use.

    Args:
        path: the file.
        released: ``state_dict`` and ``other_parameter`` of the model that the algorithm releases.
        config: the run's configuration.
        last_request: index (from 0) of the last processed deletion request; stored under the key ``epoch``.
        meta: metadata of the checkpoint, from :meth:`State.meta`.
    """
    save_checkpoint(path, {
        "config": config.as_dict(),
        "epoch": last_request,
        "cur_step": 0,
        "best_valid_score": -torch.inf,
        "state_dict": released["state_dict"],
        "other_parameter": released["other_parameter"],
        "optimizer": None,
        "meta": meta,
    })  # fmt: skip


class _Stream:
    """A file object that computes the SHA-256 of what is written, and stores the OSError of a failed write.

    ``torch.save`` replaces an OSError by a RuntimeError; the caller finds the original error in :attr:`error`.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    The whole file is read once and checked (:mod:`recbole.trainer.archive`). The tensors of files written by this
    program are then memory-mapped, so only tensors that are used take memory.

    Returns:
        The file's dictionary. Files written by RecBole or ERASE can be read as well. For them the dictionary contains
        ``original: True``.

    Raises:
        UserError: the file is missing, damaged, not a checkpoint, would execute code, or its SHA-256 differs from that
            in the ``.json`` record next to it.
    """
    path = Path(path)
    if not path.is_file():
        if path.exists():
            raise UserError(f"{path}: should be a checkpoint, but is not a regular file; move it away")
        raise UserError(f"{path}: there is no such checkpoint; train it first, or check --seed and --checkpoint_dir")
    if checked_archive(path) <= _OURS:
        try:
            with warnings.catch_warnings(action="ignore"):  # torch warns about pickle protocols other than its own
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # a malformed pickle can raise almost any exception
            raise UserError(f"{path}: truncated or not a checkpoint ({_first_line(error)})") from error
    else:
        content = read_original(path)
    return check_content(content, path)


_OURS = frozenset({
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {name}" for name in STORAGES),
})  # fmt: skip
"""The Python globals, as ``module name``, that the pickle of a file written by this program may look up."""


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message, at most 160 characters, or the name of its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def check_weights(own: Mapping[str, torch.Tensor], checkpoint: dict[str, Any], path: str | Path, kind: str) -> None:
    """Check that a checkpoint contains all entries of a model's ``state_dict``, with the same shapes.

    The dtypes must be equal, too, except that all floating-point dtypes are accepted for each other.

    Args:
        own: ``state_dict`` of the model, or of another model with the same settings and data.
        checkpoint: the checkpoint's dictionary.
        path: the checkpoint file, for error messages.
        kind: name of the model's class, for error messages.

    Raises:
        UserError: an entry is missing or has another shape or dtype; the message names the first such entry.
    """
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict):
        raise UserError(f"{path}: has no entry 'state_dict'; it is not a checkpoint of a model")
    for name, tensor in own.items():
        if not isinstance(state.get(name), torch.Tensor):
            raise UserError(f"{path}: has no parameter '{name}'; it is not a checkpoint of {kind}")
        if not _same_kind(state[name].dtype, tensor.dtype):
            raise UserError(f"{path}: '{name}' is {state[name].dtype}, but {kind} needs {tensor.dtype}")
        if state[name].shape != tensor.shape:
            raise UserError(
                f"{path}: '{name}' has shape {tuple(state[name].shape)}, but {tuple(tensor.shape)} on this data; "
                "the checkpoint belongs to another data set, filter or embedding size"
            )


def _same_kind(one: torch.dtype, other: torch.dtype) -> bool:
    """Return whether two dtypes are equal or both are floating-point dtypes."""
    return one == other or (one.is_floating_point and other.is_floating_point)


def load_weights(model: AbstractRecommender, checkpoint: dict[str, Any], path: str | Path) -> None:
    """Load a checkpoint's parameters into a model.

    If this program wrote the file, the entry ``other_parameter`` is loaded too: what the model stores besides its
    ``state_dict``, such as what was fitted in closed form.

    Args:
        model: the model, changed in place.
        checkpoint: the checkpoint's dictionary.
        path: the checkpoint file, for error messages.

    Raises:
        UserError: a parameter is missing or has another shape or dtype (the message names the first one), or
            ``other_parameter`` does not fit the model.
    """
    if isinstance(checkpoint, dict) and isinstance(checkpoint.get("state_dict"), dict):
        try:
            checkpoint = {**checkpoint, "state_dict": model.make_room(checkpoint["state_dict"])}
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    own = model.state_dict()
    check_weights(own, checkpoint, path, type(model).__name__)
    state = checkpoint["state_dict"]
    model.load_state_dict({name: state[name] for name in own})
    if checkpoint.get("other_parameter") and not checkpoint.get("original"):
        try:
            model.load_other_parameter(checkpoint["other_parameter"])
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
