"""RecBole's helper functions about trainers, logging and the machine."""

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
    """Return the trainer class for a model.

    Args:
        model_type: ignored; in RecBole it selects the class for models without a trainer of their own.
        model_name: the model's class name.

    Returns:
        The class ``<model_name>Trainer`` of ``recbole.trainer`` if there is one, otherwise :class:`Trainer`.

    Raises:
        NotAvailable: RecBole has a special trainer for this model, which does not exist here.
    """
    found: type[Trainer] = getattr(room, f"{model_name}Trainer", Trainer)
    return found


def init_logger(config: Config) -> None:
    """Send log messages to the terminal and to a new file in the folder ``log_dir`` (by default ``log``).

    This includes the messages of other libraries and of the user's script, which go to Python's root logger.

    Args:
        config: the settings; ``state`` is the log level.

    Raises:
        UserError: the folder cannot be written to.
    """
    open_log(config, Path(config["log_dir"] or "log"))
    begin_log(f"recbole | erase-bench {recbole.__version__}, results {recbole.RESULTS_VERSION}")
    root = logging.getLogger()
    root.setLevel(str(config["state"]).upper())
    for handler in logging.getLogger("recbole").handlers:
        root.addHandler(handler)


def get_gpu_usage(device: torch.device | str | None = None) -> str:
    """Return the peak memory of this process's tensors on a GPU in GiB, as text such as ``1.25 G``.

    Args:
        device: the GPU; for the CPU or None the text is ``0.00 G``.
    """
    return f"{peak_memory(device or 'cpu').get('peak_gpu_mib', 0.0) / 1024:.2f} G"


def get_environment(config: Config) -> dict[str, Any]:
    """Return a dictionary with the versions, the device and the number of threads of this process.

    RecBole's function of this name returns a table instead.
    """
    return {
        "erase-bench": recbole.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "device": str(config["device"]),
        "threads": torch.get_num_threads(),
    }
