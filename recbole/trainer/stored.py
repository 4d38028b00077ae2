"""Reads checkpoint files, and compares the settings, data and mask stored in them with those of the current run.

The mask says which interactions are forgotten.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import recbole
from recbole.config import Config
from recbole.config.identity import Identity, canonical, deciding, marked, marked_if_set, told
from recbole.config.layers import packaged
from recbole.trainer.checkpoint import load_checkpoint
from recbole.trainer.state import State
from recbole.utils import UserError, sha256_of_file
from recbole.utils.files import Stamp, stamp

logger = logging.getLogger("recbole")

BUDGET = "max_training_hours"
_OF_DATA = (
    *("eval_args", "rm_dup_inter", "val_interval", "user_inter_num_interval", "item_inter_num_interval"),
    *("MAX_ITEM_LIST_LENGTH", "MIN_NBR_BASKET_COUNT", "MAX_NBR_HISTORY_BASKETS", "MAX_NBR_BASKET_SIZE"),
)


@dataclass(frozen=True)
class Stored:
    """The content of a checkpoint file.

    Attributes:
        path: the file.
        content: the file's dictionary.
        settings: the settings that determine the model, with fingerprints of its data and mask. None if the file does
            not store all of them: files written by RecBole or ERASE, and unlearned models of this program's first
            version.
        version: the ``RESULTS_VERSION`` of the program that wrote the file, a number that is raised when results
            change; 0 for files of this program's first version, None for files of other programs.
        stamp: what tells the file that was read from one that replaced it later (:func:`recbole.utils.files.stamp`).
    """

    path: Path
    content: dict[str, Any]
    settings: dict[str, Any] | None
    version: int | None
    stamp: Stamp | None = None

    @classmethod
    def read(cls, path: Path) -> "Stored":
        """Read a checkpoint.

        Raises:
            UserError: the file is missing or damaged, or an entry in it has another type than this program writes.
        """
        before = stamp(path)
        content = load_checkpoint(path)
        for key, kind in _KINDS.items():
            _check_kind(path, key, content.get(key), kind)
        meta = content.get("meta")
        if meta is None:
            return cls(path, content, None, None, before)
        for key, kind in _KINDS_OF_META.items():
            _check_kind(path, f"meta {key}", meta.get(key), kind)
        if not isinstance(meta.get("dataset"), str):
            raise UserError(f"{path}: its 'meta' has no entry 'dataset'; the file was not written by this program")
        if meta.get("settings") is not None:
            return cls(path, content, meta["settings"], meta.get("results_version"), before)
        return cls(path, content, _settings_of_first_version(content, meta), 0, before)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file, 64 hexadecimal digits.

        Raises:
            UserError: the file was removed or replaced after it was read.
        """
        try:
            digest = sha256_of_file(self.path)
        except OSError:
            digest = ""
        if not digest or stamp(self.path) != self.stamp:
            raise UserError(f"{self.path}: was changed or removed during this run; give the command again")
        return digest

    @property
    def reference(self) -> str:
        """``<file name> sha256:<digest>``: the file's name in the column ``reference`` of the result table."""
        return f"{self.path.name} sha256:{self.sha256}"

    @property
    def identity(self) -> Identity | None:
        """Everything that determines the model (settings, data and mask); None if the file does not store it."""
        return None if self.settings is None else Identity(self.settings)

    def differences(self, expected: Identity, but: Collection[str] = ()) -> list[tuple[str, Any, Any]]:
        """Compare the stored settings, data and mask with the expected ones.

        Files of this program's first version do not store a digest of the mask. For them the mask is not compared here;
        the requests that led to it are compared when the model is loaded.

        Args:
            expected: what the model should be determined by.
            but: keys to ignore.

        Returns:
            ``(key, expected value, stored value)`` for each setting that differs.
        """
        if self.identity is None:
            return [("written by", "this program", "RecBole or ERASE")]
        unknown = ("mask",) if self.version == 0 else ()
        return expected.differences(self.identity, (*but, *unknown))

    def say_version(self) -> None:
        """Log one line if the file was written by a version of this program whose results differ (RESULTS_VERSION)."""
        if self.version is not None and self.version != recbole.RESULTS_VERSION:
            logger.info(
                "%s was written with results version %s, this program has %s: results differ by more than rounding",
                self.path, self.version, recbole.RESULTS_VERSION,
            )  # fmt: skip


_KINDS: dict[str, type] = {"config": dict, "meta": dict, "state_dict": dict, "other_parameter": dict, "epoch": int}
_WITH_TENSORS = ("state_dict", "other_parameter")
_KINDS_OF_META: dict[str, type] = {"settings": dict, "mask": dict, "results_version": int, "kind": str}
"""Expected types of the entries of a checkpoint and of its ``meta``, if present."""


def _check_kind(path: Path, key: str, value: Any, kind: type) -> None:
    """Check the type of one entry of a checkpoint.

    Args:
        path: the file, for the message.
        key: the entry's key. Only the dictionaries in :data:`_WITH_TENSORS` may contain tensors; others must consist of
            plain values.
        value: the entry; None is accepted.
        kind: the expected type.

    Raises:
        UserError: the entry has another type; the message names its key.
    """
    if value is None:
        return
    good = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if good and kind is dict and key not in _WITH_TENSORS:
        try:
            canonical(value)
        except (TypeError, ValueError):
            good = False
    if not good:
        raise UserError(f"{path}: its '{key}' has another type than this program writes; another program wrote it")


def _settings_of_first_version(content: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any] | None:
    """Return the settings that determine the model in a file that this program's first version wrote.

    These files store the whole configuration, from which the settings are selected.

    Args:
        content: the file's dictionary.
        meta: its metadata.

    Returns:
        None for an unlearned model, or if the file has no configuration.
    """
    config = content.get("config")
    if not isinstance(config, dict) or meta.get("kind") not in ("base", "retrained") or "model" not in config:
        return None
    return deciding(config, str(config["model"])) | {"dataset": meta.get("dataset"), "mask": None}


def adopt(config: Config, stored: Stored, but: Collection[str] = ()) -> None:
    """Copy the settings that determine a model from its checkpoint into the run's configuration.

    The settings in a file written by RecBole or ERASE are not copied but only compared with the configuration.

    Args:
        config: the run's settings, changed in place.
        stored: the checkpoint.
        but: keys that are not copied, because they mean something else in this run.

    Raises:
        UserError: a flag on the command line contradicts the checkpoint, a value in the checkpoint is impossible, or
            the settings in a file of RecBole or ERASE differ from the configuration.
    """
    if stored.settings is None:
        _agree_with_original(config, stored)
        return
    absent = dict.fromkeys(marked_if_set())
    here, there = absent | deciding(config.as_dict(), config["model"], config.undeclared), absent | stored.settings
    own = {key: there[key] for key in here if key in there and key not in ("model", *but)}
    differing = Identity({key: here[key] for key in own}).differences(Identity(own))
    asked = [pair for pair in differing if pair[0] in config.on_command_line]
    if asked:
        raise UserError(
            f"{stored.path} was trained with other settings than the command line gives: {told(asked)}; omit these "
            "flags, or first train a model with them (with --variant NAME to keep both models)"
        )
    config.adopt({key: value for key, _, value in differing}, stored.path.name)
    written = [pair for pair in differing if pair[0] in config.asked]
    if written:
        logger.info("settings from %s replace those of the configuration files: %s", stored.path.name, told(written))


def _agree_with_original(config: Config, stored: Stored) -> None:
    """Check that the settings of the model and of the data equal those in a file written by RecBole or ERASE.

    Only settings that the file contains are compared.

    Raises:
        UserError: settings differ; the message names their keys.
    """
    theirs = stored.content.get("config")
    if not isinstance(theirs, dict):
        return
    declared = set(packaged(f"model/{config['model']}.yaml").values) - marked() - marked_if_set()
    keys = [key for key in (*sorted(declared), *_OF_DATA) if key in theirs and theirs[key] is not None]
    here = deciding(config.as_dict(), config["model"])
    pairs = [(key, here.get(key), _comparable(here.get(key), theirs[key])) for key in keys]
    found = Identity({key: value for key, value, _ in pairs}).differences(
        Identity({key: value for key, _, value in pairs})
    )
    if found:
        raise UserError(f"{stored.path} was trained with other settings: {told(found)}; set them as in the file")


def _comparable(own: Any, theirs: Any) -> Any:
    """Convert the value that RecBole or ERASE stored for a setting to the form of this program's value.

    Args:
        own: this program's value of the setting.
        theirs: the stored value.

    Returns:
        If both are dictionaries, one with the keys of ``own`` and the values of ``theirs``, or of ``own`` for keys that
        ``theirs`` lacks. If only ``own`` is a dictionary and ``theirs`` a text, a dictionary with the keys of ``own``
        and this text as every value. Otherwise ``theirs``.
    """
    if isinstance(own, dict) and isinstance(theirs, dict):
        return {key: _comparable(own[key], theirs[key]) if key in theirs else own[key] for key in own}
    if isinstance(own, dict) and isinstance(theirs, str):
        return dict.fromkeys(own, theirs)
    return theirs


def refuse_to_replace(path: Path, state: State, expected: Identity, overwrite: bool) -> None:
    """Check that a run will not overwrite a checkpoint that was made with other settings.

    Args:
        path: the file that the run will write.
        state: the data and mask of the model that will be written.
        expected: the settings, data and mask that determine this model.
        overwrite: the setting ``overwrite``: True skips the check.

    Raises:
        UserError: the file exists and differs from ``expected``; the message names the keys that differ.
    """
    if overwrite or not path.exists():
        return
    stored = Stored.read(path)
    found = stored.differences(expected)
    if not found and stored.version == 0 and stored.content["meta"].get("mask") != state.mask:
        found = [("mask", str(state.mask), str(stored.content["meta"].get("mask")))]
    if found:
        raise UserError(
            f"{path} exists and was made with other settings: {told(found)}; --overwrite replaces it, --variant NAME "
            "or --checkpoint_dir uses another folder"
        )
