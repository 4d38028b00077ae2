"""The folders of a run's checkpoints, logs and TensorBoard files. ``--variant NAME`` selects subfolders of them."""

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
"""Largest length in bytes of a settings folder's name."""


@dataclass(frozen=True)
class Places:
    """The folders in which a run's files are stored.

    Attributes:
        checkpoints: folder of base and retrained models, and parent of the settings folders.
        logs: folder of logs and per-request records.
        board: folder of TensorBoard files.
        settings: name of the settings folder; empty for default hyper-parameters.
    """

    checkpoints: Path
    logs: Path
    board: Path
    settings: str = ""

    @classmethod
    def of(cls, config: Config) -> "Places":
        """Return the folders for the settings ``checkpoint_dir``, ``log_dir``, ``variant`` and ``ensemble``.

        If ``log_dir`` is None, logs go to ``log``, or to ``log`` in ``checkpoint_dir`` if that is not the default.

        Raises:
            UserError: the variant's name is not allowed as a folder name.
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
        """Return the subfolders called ``folder`` of all three folders."""
        return replace(self, checkpoints=self.checkpoints / folder, logs=self.logs / folder, board=self.board / folder)

    def with_settings(self, name: str) -> "Places":
        """Return the subfolders for a name from :func:`settings_name`; the same folders if the name is empty."""
        if not name:
            return self
        return replace(self.within(name), settings=name)


def ensemble_name(config: Config) -> str:
    """Return the ensemble's name, followed by its settings that differ from the defaults: ``NAME+key_value``."""
    other = settings_name(differing(config, get_model(config["model"]).type))
    return f"{config['ensemble']}+{other}" if other else str(config["ensemble"])


def settings_name(given: Mapping[str, Any], preset: str | None = None) -> str:
    """Return the name of a settings folder.

    Args:
        given: hyper-parameters that differ from their defaults (with a preset: from the preset's values).
        preset: the preset's name, or None.

    Returns:
        A name such as ``damping_0.5`` or ``preset_tuned+damping_0.5`` with sorted keys, or ``settings_<digest>`` if
        that would exceed 60 bytes. Empty without settings and preset.
    """
    parts = [f"preset_{preset}"] if preset else []
    parts += [f"{key}_{_UNSAFE.sub('-', _number(given[key]))}" for key in sorted(given)]
    name = "+".join(parts)
    if len(name.encode()) > _LONGEST:
        return f"settings_{hashlib.sha256(canonical([preset, dict(given)]).encode()).hexdigest()[:8]}"
    return name


def _number(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)
