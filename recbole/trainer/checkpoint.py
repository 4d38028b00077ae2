"""Checkpoints: tensors plus plain metadata, written whole or not at all, read without running code."""

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
    """Write a dictionary of tensors and plain values, atomically, tensor by tensor: no second copy is in memory.

    Equal dictionaries give the same bytes, whatever is shared in them. A record beside an older ``.pth`` goes with it.

    Raises:
        UserError: when the disk is full or the folder cannot be written to; an older file stays as it was.
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
"""SHA-256 of the checkpoints that this process has written."""


def sha256_of_checkpoint(path: Path) -> str:
    """Return the SHA-256 of a checkpoint: of what was written, if this process did, so that what befell it is seen."""
    return _written.get(path.absolute()) or sha256_of_file(path)


def _unshared(value: Any) -> Any:
    """Return nested containers without two places that share one, and with one object for equal texts.

    A pickle tells what is the same object, and after a snapshot was read other objects are the same than before.
    """
    if isinstance(value, dict):
        return {_unshared(key): _unshared(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_unshared, value))
    return sys.intern(value) if type(value) is str else value


def save_unlearned(
    path: Path, released: dict[str, Any], config: Config, last_request: int, meta: dict[str, Any]
) -> None:
    """Write an unlearned checkpoint, with RecBole's keys and those of the original for unlearned models.

    Args:
        path: the file.
        released: ``state_dict`` and ``other_parameter``, as the algorithm lets them out.
        config: the run's configuration.
        last_request: index of the last request that was answered, which stands as the epoch.
        meta: metadata of the checkpoint.
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
    """A file that is hashed, and keeps what went wrong in writing: torch hides it behind an error about positions."""

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
    """Read a checkpoint onto the CPU. One that the original wrote is read too; its dictionary says ``original: True``.

    All of the file is read once and checked, see `recbole.trainer.archive`; the tensors of a file of this program's
    then stay in it until they are looked at, so that weights alone take memory of their size alone.

    Raises:
        UserError: when the file is missing, damaged, no checkpoint, would run code, or is not the one that the record
            beside it names.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such checkpoint; train it first, or look at --seed and --checkpoint_dir")
    if checked_archive(path) <= _OURS:
        try:
            with warnings.catch_warnings(action="ignore"):  # torch warns of pickle protocols other than its own
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # a pickle that nobody wrote leads to almost any
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
"""What a file of this program's looks up."""


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def check_weights(own: Mapping[str, torch.Tensor], checkpoint: dict[str, Any], path: str | Path, kind: str) -> None:
    """Refuse a checkpoint without the parameters of a model.

    Args:
        own: the model's state, or that of another of the same data.
        checkpoint: the file's dictionary.
        path: the file.
        kind: the name of the model's class.

    Raises:
        UserError: naming the first parameter that is missing or of another shape.
    """
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict):
        raise UserError(f"{path}: holds no 'state_dict'; it is not a checkpoint of a model")
    for name, tensor in own.items():
        if not isinstance(state.get(name), torch.Tensor):
            raise UserError(f"{path}: has no parameter '{name}'; it is of another model than {kind}")
        if not _same_kind(state[name].dtype, tensor.dtype):
            raise UserError(f"{path}: '{name}' is {state[name].dtype}, {kind} has {tensor.dtype}")
        if state[name].shape != tensor.shape:
            raise UserError(
                f"{path}: '{name}' is {tuple(state[name].shape)}, this data makes it {tuple(tensor.shape)}; "
                "the checkpoint is of another data set, filter or embedding size"
            )


def _same_kind(one: torch.dtype, other: torch.dtype) -> bool:
    """Return whether numbers of one type may stand for those of another: real for real, else the same."""
    return one == other or (one.is_floating_point and other.is_floating_point)


def load_weights(model: AbstractRecommender, checkpoint: dict[str, Any], path: str | Path) -> None:
    """Put a checkpoint's parameters into a model.

    Raises:
        UserError: naming the first parameter that is missing or of another shape, or what else does not fit.
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
