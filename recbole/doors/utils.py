"""RecBole's helpers that know models, trainers and settings."""

from __future__ import annotations

import logging
import platform
from pathlib import Path
from typing import Any

import torch

import recbole
from recbole import trainer as room
from recbole.config import Config
from recbole.doors.trainer import Trainer
from recbole.model import get_model
from recbole.utils import ModelType
from recbole.utils.device import peak_memory
from recbole.utils.logger import begin_log
from recbole.utils.logger import init_logger as open_log

__all__ = ["get_environment", "get_gpu_usage", "get_model", "get_trainer", "init_logger"]


def get_trainer(model_type: ModelType | None, model_name: str) -> type[Trainer]:
    """Return the trainer of a model.

    Raises:
        NotAvailable: RecBole has one of its own for this model, which cannot be had here.
    """
    found: type[Trainer] = getattr(room, f"{model_name}Trainer", Trainer)
    return found


def init_logger(config: Config) -> None:
    """Send messages to the terminal and to a file of the run in ``log/``, those of the root logger too."""
    open_log(config, Path(config["log_dir"] or "log"))
    begin_log(f"recbole | erase-bench {recbole.__version__}, results {recbole.RESULTS_VERSION}")
    root = logging.getLogger()
    root.setLevel(str(config["state"]).upper())
    for handler in logging.getLogger("recbole").handlers:
        root.addHandler(handler)


def get_gpu_usage(device: torch.device | str | None = None) -> str:
    """Return the most memory that tensors took on a GPU, as text; ``0.00 G`` on the CPU."""
    return f"{peak_memory(device or 'cpu').get('peak_gpu_mib', 0.0) / 1024:.2f} G"


def get_environment(config: Config) -> dict[str, Any]:
    """Return what a run runs on: versions, device, threads. RecBole returns a table of it."""
    return {
        "erase-bench": recbole.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "device": str(config["device"]),
        "threads": torch.get_num_threads(),
    }
