"""Comparison of a checkpoint's stored settings, data and mask with those of the current run."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import recbole
from recbole.config import Config
from recbole.config.identity import Identity, canonical, deciding, marked, marked_if_set, told
from recbole.config.layers import packaged
from recbole.trainer.checkpoint import load_checkpoint
from recbole.trainer.state import State
from recbole.utils import UserError

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
        settings: the settings that determined the model; None for files written by RecBole or ERASE, which do not
            store all of them.
        version: ``RESULTS_VERSION`` when the file was written; 0 for files of this program's first version, None for
            files of other programs.
    """

    path: Path
    content: dict[str, Any]
    settings: dict[str, Any] | None
    version: int | None

    @classmethod
    def read(cls, path: Path) -> "Stored":
        """Read a checkpoint.

        Raises:
            UserError: the file is missing or damaged, or its metadata is not that of a checkpoint.
        """
        content = load_checkpoint(path)
        for key, kind in _KINDS.items():
            _check_kind(path, key, content.get(key), kind)
        meta = content.get("meta")
        if meta is None:
            return cls(path, content, None, None)
        for key, kind in _KINDS_OF_META.items():
            _check_kind(path, f"meta {key}", meta.get(key), kind)
        if not isinstance(meta.get("dataset"), str):
            raise UserError(f"{path}: its 'meta' has no entry 'dataset'; the file was not written by this program")
        if meta.get("settings") is not None:
            return cls(path, content, meta["settings"], meta.get("results_version"))
        return cls(path, content, _settings_of_first_version(content, meta), 0)

    @property
    def identity(self) -> Identity | None:
        """The identity (settings, data and mask) of the model; None if the file does not store it."""
        return None if self.settings is None else Identity(self.settings)

    def differences(self, expected: Identity, but: Collection[str] = ()) -> list[tuple[str, Any, Any]]:
        """Return ``(key, expected value, stored value)`` for each setting that differs from the expected identity.

        Keys in ``but`` are ignored. Files of this program's first version do not store the mask's digest, so for them
        ``mask`` is ignored too; their requests are compared when the model is loaded.
        """
        if self.identity is None:
            return [("written by", "this program", "RecBole or ERASE")]
        unknown = ("mask",) if self.version == 0 else ()
        return expected.differences(self.identity, (*but, *unknown))

    def say_version(self) -> None:
        """Log one line if the file was written with another ``RESULTS_VERSION``, which increases if results change."""
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
    """Check the type of one entry of a checkpoint; only dictionaries in :data:`_WITH_TENSORS` may hold tensors.

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
    """Return the settings that determined the model in a file of this program's first version.

    Such files store the whole configuration. None for an unlearned model, or without a configuration.
    """
    config = content.get("config")
    if not isinstance(config, dict) or meta.get("kind") not in ("base", "retrained") or "model" not in config:
        return None
    return deciding(config, str(config["model"])) | {"dataset": meta.get("dataset"), "mask": None}


def adopt(config: Config, stored: Stored, but: Collection[str] = ()) -> None:
    """Copy the settings that determined a model from its checkpoint into the run's configuration.

    Args:
        config: the run's settings, changed in place.
        stored: the checkpoint.
        but: keys that are not copied, because they have another meaning in this run.

    Raises:
        UserError: the command line sets a key to another value than the checkpoint has, or this program could not have
            written the checkpoint's value.
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
    """Compare the model's and the data's settings with those in a file written by RecBole or ERASE.

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
    """Return the value that RecBole or ERASE stored for a setting, in this program's notation.

    Args:
        own: this program's value, which gives the notation.
        theirs: the stored value. A dictionary is restricted to the keys of ``own``, with missing keys taken from it; a
            string is used for all keys of ``own`` if that is a dictionary.
    """
    if isinstance(own, dict) and isinstance(theirs, dict):
        return {key: _comparable(own[key], theirs[key]) if key in theirs else own[key] for key in own}
    if isinstance(own, dict) and isinstance(theirs, str):
        return dict.fromkeys(own, theirs)
    return theirs


def refuse_to_replace(path: Path, state: State, expected: Identity, overwrite: bool) -> None:
    """Check that a run does not overwrite a checkpoint that was made with other settings.

    Args:
        path: the file that the run will write.
        state: the state of the model to be written.
        expected: the identity of the model to be written.
        overwrite: the setting ``--overwrite``: True skips the check.

    Raises:
        UserError: ``path`` exists and its settings differ from ``expected``; the message names their keys.
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
