"""What a checkpoint on disk says of itself, held against what a run is about."""

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
    """A checkpoint that has been read.

    Attributes:
        path: the file.
        content: its dictionary.
        settings: what made the model; None for a file of the original or of RecBole, which do not say all of it.
        version: of the results' mathematics; 0 for files of this program's first version, None for others'.
    """

    path: Path
    content: dict[str, Any]
    settings: dict[str, Any] | None
    version: int | None

    @classmethod
    def read(cls, path: Path) -> "Stored":
        """Read a checkpoint.

        Raises:
            UserError: when there is none, it is damaged, or says something else of itself than checkpoints do.
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
            raise UserError(f"{path}: its 'meta' names no data; it is not of this program")
        if meta.get("settings") is not None:
            return cls(path, content, meta["settings"], meta.get("results_version"))
        return cls(path, content, _settings_of_first_version(content, meta), 0)

    @property
    def identity(self) -> Identity | None:
        """What made the model, if the file says it."""
        return None if self.settings is None else Identity(self.settings)

    def differences(self, expected: Identity, but: Collection[str] = ()) -> list[tuple[str, Any, Any]]:
        """Return (key, expected value, stored value) of what differs from the expected model.

        A file of the first version does not say which rows its mask has; its requests are compared when it is loaded.
        """
        if self.identity is None:
            return [("written by", "this program", "the original")]
        unknown = ("mask",) if self.version == 0 else ()
        return expected.differences(self.identity, (*but, *unknown))

    def say_version(self) -> None:
        """Say in one line when the file's numbers are of another version of the mathematics."""
        if self.version is not None and self.version != recbole.RESULTS_VERSION:
            logger.info(
                "%s: results version %s, this program's is %s: numbers differ by more than rounding",
                self.path, self.version, recbole.RESULTS_VERSION,
            )  # fmt: skip


_KINDS: dict[str, type] = {"config": dict, "meta": dict, "state_dict": dict, "epoch": int}
_KINDS_OF_META: dict[str, type] = {"settings": dict, "mask": dict, "results_version": int, "kind": str}
"""What these parts of a checkpoint are, where they are there."""


def _check_kind(path: Path, key: str, value: Any, kind: type) -> None:
    """Refuse a part of a checkpoint that is something else, or dictionaries of more than plain values (`canonical`).

    Raises:
        UserError: naming the part.
    """
    if value is None:
        return
    good = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if good and kind is dict and key != "state_dict":
        try:
            canonical(value)
        except (TypeError, ValueError):
            good = False
    if not good:
        raise UserError(f"{path}: its '{key}' is not what this program writes there; it is of another program")


def _settings_of_first_version(content: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any] | None:
    """Return the settings of a file that stores its configuration and no digest; None of an unlearned model."""
    config = content.get("config")
    if not isinstance(config, dict) or meta.get("kind") not in ("base", "retrained") or "model" not in config:
        return None
    return deciding(config, str(config["model"])) | {"dataset": meta.get("dataset"), "mask": None}


def adopt(config: Config, stored: Stored, but: Collection[str] = ()) -> None:
    """Take the settings that made a model from its checkpoint, where the command line does not give them.

    Args:
        config: the run's settings, changed.
        stored: the checkpoint.
        but: keys that mean something else in this run.

    Raises:
        UserError: the command line gives another value than the checkpoint has.
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
            f"{stored.path} was made by other settings than the command line gives: {told(asked)}; leave them away, "
            "or train with them first (--variant NAME keeps both)"
        )
    written = [pair for pair in differing if pair[0] in config.asked]
    if written:
        logger.info("taken from %s, not from the configuration files: %s", stored.path.name, told(written))
    for key, _, value in differing:
        config[key] = value


def _agree_with_original(config: Config, stored: Stored) -> None:
    """Hold the architecture and the data's keys against those of a file of the original's.

    Raises:
        UserError: naming the keys that differ.
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
        raise UserError(f"{stored.path} was made by other settings: {told(found)}; give the file's")


def _comparable(own: Any, theirs: Any) -> Any:
    """Return a value of the original's as it is written here: modes and keys that mean the same."""
    if isinstance(own, dict) and isinstance(theirs, dict):
        return {key: _comparable(own[key], theirs[key]) if key in theirs else own[key] for key in own}
    if isinstance(own, dict) and isinstance(theirs, str):
        return dict.fromkeys(own, theirs)
    return theirs


def refuse_to_replace(path: Path, state: State, expected: Identity, overwrite: bool) -> None:
    """Refuse a run that would write over a file of other settings.

    Raises:
        UserError: naming the keys that differ.
    """
    if overwrite or not path.exists():
        return
    stored = Stored.read(path)
    found = stored.differences(expected)
    if not found and stored.version == 0 and stored.content["meta"].get("mask") != state.mask:
        found = [("mask", str(state.mask), str(stored.content["meta"].get("mask")))]
    if found:
        raise UserError(
            f"{path} is there, made by other settings: {told(found)}; --overwrite replaces it, --variant NAME or "
            "--checkpoint_dir goes elsewhere"
        )
