"""The folders in which a run stores checkpoints, logs and TensorBoard files."""

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
"""Largest length in bytes of a folder name from :func:`settings_name`."""


@dataclass(frozen=True)
class Places:
    """The folders in which a run's files are stored.

    Unlearned models whose hyper-parameters are not the defaults are stored in a subfolder named after these
    hyper-parameters, the settings folder.

    Attributes:
        checkpoints: folder of the checkpoints.
        logs: folder of the logs and of the records of single requests.
        board: folder of the TensorBoard files.
        settings: name of the settings folder that the three folders end with; empty if there is none.
    """

    checkpoints: Path
    logs: Path
    board: Path
    settings: str = ""

    @classmethod
    def of(cls, config: Config) -> "Places":
        """Return the folders for a run without a settings folder.

        They follow from the settings ``checkpoint_dir`` and ``log_dir``. The settings ``variant`` and ``ensemble`` each
        select a subfolder of all three. If ``log_dir`` is None, logs go to the folder ``log``, which is within
        ``checkpoint_dir`` if that setting is not the default.

        Raises:
            UserError: the value of ``variant`` is not allowed as a folder name.
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

    def of_run(self, model: str) -> tuple[Path, Path, Path]:
        """Return the folders into which a run of a model writes; they need not exist yet."""
        return self.checkpoints, self.logs / model, self.board

    def within(self, folder: str) -> "Places":
        """Return a copy with the subfolders called ``folder`` instead of the three folders."""
        return replace(self, checkpoints=self.checkpoints / folder, logs=self.logs / folder, board=self.board / folder)

    def with_settings(self, name: str) -> "Places":
        """Return a copy with the settings folder of this name (:func:`settings_name`); empty means no such folder."""
        if not name:
            return self
        return replace(self.within(name), settings=name)


def ensemble_name(config: Config) -> str:
    """Return the name of the run's ensemble, followed by its settings that are not the defaults: ``NAME+key_value``."""
    other = settings_name(differing(config, get_model(config["model"]).type))
    return f"{config['ensemble']}+{other}" if other else str(config["ensemble"])


def settings_name(given: Mapping[str, Any], preset: str | None = None) -> str:
    """Return the name of the folder for models whose hyper-parameters are not the defaults.

    Args:
        given: hyper-parameters that differ from the defaults (with a preset: from the preset's values), name to value.
        preset: name of the preset (a named set of hyper-parameters), or None.

    Returns:
        A name such as ``damping_0.5`` or ``preset_tuned+damping_0.5``, with sorted hyper-parameters. If this would be
        longer than 60 bytes, ``settings_`` and 8 hexadecimal digits of a hash. Empty without hyper-parameters and
        preset.
    """
    parts = [f"preset_{preset}"] if preset else []
    parts += [f"{key}_{_UNSAFE.sub('-', _number(given[key]))}" for key in sorted(given)]
    name = "+".join(parts)
    if len(name.encode()) > _LONGEST:
        return f"settings_{hashlib.sha256(canonical([preset, dict(given)]).encode()).hexdigest()[:8]}"
    return name


def _number(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)
