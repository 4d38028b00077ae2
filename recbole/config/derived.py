"""Settings that are derived from others, such as the device and whether larger metric values are better."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.utils import InputType, ModelType, UserError

if TYPE_CHECKING:  # parsing a command line imports this package but needs no torch
    import torch


def data_folder(data_path: str | Path, dataset: str) -> str:
    """Return the folder of one data set, ``<data_path>/<dataset>``."""
    return os.path.join(data_path, dataset)


def choose_device(use_gpu: bool, gpu_id: str, where: str) -> torch.device:
    """Return the CUDA device ``gpu_id`` (text such as "0") if ``use_gpu`` is set and CUDA is available, else the CPU.

    An empty ``gpu_id``, and -1, also mean the CPU. Of several numbers ("0,1") the first is used.

    Args:
        use_gpu, gpu_id: the settings.
        where: the place that set ``gpu_id``, for messages.

    Raises:
        UserError: ``gpu_id`` is not a number, or no CUDA device has this number.
    """
    number = gpu_id.split(",", maxsplit=1)[0].strip()
    number = "" if number == "-1" else number  # as in CUDA_VISIBLE_DEVICES
    if number and not number.isdecimal():
        raise UserError(f"gpu_id ({where}) should be the number of a CUDA device, like 0, or empty, not {gpu_id!r}")
    import torch

    if not use_gpu or not number or not torch.cuda.is_available():
        return torch.device("cpu")
    if int(number) >= torch.cuda.device_count():
        raise UserError(
            f"gpu_id {number} ({where}) does not exist: there are {torch.cuda.device_count()} CUDA devices, "
            "numbered from 0"
        )
    return torch.device(f"cuda:{number}")


def device_settings(device: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of ``use_gpu`` and ``gpu_id`` that the flag ``--device`` sets.

    Args:
        device: ``cpu`` or ``cuda:N``.
        given: the settings on the command line, as text or values.

    Raises:
        UserError: ``device`` has another form or does not exist, or it contradicts a given ``use_gpu`` or ``gpu_id``.
    """
    number = device.removeprefix("cuda:")
    if device != "cpu" and (number == device or not number.isdecimal()):
        raise UserError(f"--device should be cpu or cuda:N, like cuda:0, not {device!r}")
    settings = {"use_gpu": False, "gpu_id": ""} if device == "cpu" else {"use_gpu": True, "gpu_id": number}
    for key, value in settings.items():
        other = given.get(key, value)
        if other != value and str(other).lower() != str(value).lower():
            raise UserError(f"--device {device} and --{key} {other!s} contradict each other: remove one of them")
    if device != "cpu" and int(number) >= (n_devices := _count_devices()):
        raise UserError(f"--device {device} does not exist: there are {n_devices} CUDA devices, numbered from 0")
    return settings


def _count_devices() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def input_type(model_class: type, loss_type: str | None) -> InputType:
    """Return how a model takes training examples: as its class declares, or else as its ``loss_type`` implies.

    Raises:
        UserError: the class declares no input type, and ``loss_type`` is neither CE nor BPR.
    """
    declared: InputType | None = getattr(model_class, "input_type", None)
    if declared is not None:
        return declared
    implied = {"CE": InputType.POINTWISE, "BPR": InputType.PAIRWISE}.get(loss_type or "")
    if implied is None:
        raise UserError(
            f"{model_class.__name__} declares no input_type, so loss_type should be CE or BPR, not {loss_type!r}"
        )
    return implied


SMALLER_IS_BETTER = ("averagepopularity", "expectedrank", "giniindex", "logloss", "mae", "rmse")
"""Lower-case names of the metrics for which smaller values are better."""


def is_bigger_better(metric: str) -> bool:
    """Return whether larger values of a metric, such as ``Recall@10``, are better; True for unknown metrics."""
    return metric.partition("@")[0].lower() not in SMALLER_IS_BETTER


def repeatable(given: bool | None, model_type: ModelType, where: str | None) -> bool | None:
    """Return the value of ``repeatable`` to use: whether a ranking may contain items of the user's history.

    Returns:
        True, or None for the usual rule of the model's task: sequential and next-basket models may recommend items of
        the history, other models recommend only new items.

    Args:
        given: the setting ``repeatable`` as the user gave it; None if unset.
        model_type: the model's type.
        where: the place that set it, for the message.

    Raises:
        UserError: ``repeatable`` is False for a sequential or next-basket model.
    """
    if model_type in (ModelType.SEQUENTIAL, ModelType.NEXT_BASKET):
        if given is False:
            raise UserError(f"repeatable ({where}) cannot be False for sequential and next-basket models: leave it out")
        return None
    return given or None
