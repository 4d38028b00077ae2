"""The folders of a run: where its checkpoints, logs and curves go. Variants are folders; file names are ERASE's."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.config.ensembles import differing
from recbole.config.identity import canonical
from recbole.model import get_model
from recbole.utils import UserError

_SAFE = re.compile(r"[A-Za-z0-9._+-]+")
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]")
_LONGEST = 60
"""Bytes of a settings folder's name."""


@dataclass(frozen=True)
class Places:
    """Where the files of a run are.

    Attributes:
        checkpoints: of base and retrained models, and the parent of the settings folders.
        logs: of logs and per-request records.
        board: of TensorBoard.
        settings: name of the settings folder, empty for default hyper-parameters.
    """

    checkpoints: Path
    logs: Path
    board: Path
    settings: str = ""

    @classmethod
    def of(cls, config: Config) -> "Places":
        """Return a run's places: ``checkpoint_dir``, ``log_dir`` and ``variant``.

        Raises:
            UserError: when the variant's name is no folder's.
        """
        saved, variant = Path(config["checkpoint_dir"]), config["variant"]
        beside = Path("log") if config.source("checkpoint_dir") == "default: overall.yaml" else saved / "log"
        logs = beside if config["log_dir"] is None else Path(config["log_dir"])
        places = cls(saved, logs, Path("log_tensorboard"))
        if variant is not None:
            if not _SAFE.fullmatch(variant) or variant.startswith("."):
                raise UserError(
                    f"--variant: '{variant}' should be letters, digits and . _ + -, and not begin with a dot"
                )
            places = places.within(variant)
        return places.within(f"ensemble_{ensemble_name(config)}") if config["ensemble"] else places

    def within(self, folder: str) -> "Places":
        """Return the places in folders of a name inside of these."""
        return replace(self, checkpoints=self.checkpoints / folder, logs=self.logs / folder, board=self.board / folder)

    def with_settings(self, name: str) -> "Places":
        """Return the places of an unlearned model whose hyper-parameters are named so; an empty name: the same."""
        if not name:
            return self
        return replace(self.within(name), settings=name)


def ensemble_name(config: Config) -> str:
    """Return what a run's ensemble is called: its name, and the settings that differ from what that stands for."""
    other = settings_name(differing(config, get_model(config["model"]).type))
    return f"{config['ensemble']}+{other}" if other else str(config["ensemble"])


def settings_name(given: Mapping[str, Any], preset: str | None = None) -> str:
    """Return the name of a settings folder.

    Args:
        given: hyper-parameters that differ from their defaults (with a preset: from the preset's values).
        preset: its name.

    Returns:
        Such as ``damping_0.5`` or ``preset_tuned+damping_0.5``, keys sorted; ``settings_<digest>`` where that would be
        longer than 60 bytes; empty for nothing.
    """
    parts = [f"preset_{preset}"] if preset else []
    parts += [f"{key}_{_UNSAFE.sub('-', _number(given[key]))}" for key in sorted(given)]
    name = "+".join(parts)
    if len(name.encode()) > _LONGEST:
        return f"settings_{hashlib.sha256(canonical([preset, dict(given)]).encode()).hexdigest()[:8]}"
    return name


def _number(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)
