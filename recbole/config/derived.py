"""Settings that follow from others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.utils import InputType, ModelType, UserError

if TYPE_CHECKING:  # command lines are parsed with this room: only a run imports torch
    import torch


def data_folder(data_path: str | Path, dataset: str) -> str:
    """Return the folder of one data set."""
    return os.path.join(data_path, dataset)


def choose_device(use_gpu: bool, gpu_id: str, where: str) -> torch.device:
    """Return the torch device: CUDA device ``gpu_id`` (text such as "0"), or the CPU if asked for or all there is.

    No number, and -1, ask for the CPU.

    Raises:
        UserError: ``gpu_id`` is not a number, or there are fewer devices.
    """
    number = gpu_id.split(",", maxsplit=1)[0].strip()
    number = "" if number == "-1" else number  # as CUDA_VISIBLE_DEVICES has it
    if number and not number.isdecimal():
        raise UserError(f"gpu_id ({where}) should be the number of a CUDA device, like 0, or empty, not {gpu_id!r}")
    import torch

    if not use_gpu or not number or not torch.cuda.is_available():
        return torch.device("cpu")
    if int(number) >= torch.cuda.device_count():
        raise UserError(
            f"gpu_id {number} ({where}): there are {torch.cuda.device_count()} CUDA devices, counted from 0"
        )
    return torch.device(f"cuda:{number}")


def device_settings(device: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``use_gpu`` and ``gpu_id`` as the flag ``--device`` says them.

    Args:
        device: ``cpu`` or ``cuda:N``.
        given: the settings of the command line, as text or values.

    Raises:
        UserError: ``device`` is neither, is not there, or is at odds with the given ``use_gpu`` or ``gpu_id``.
    """
    number = device.removeprefix("cuda:")
    if device != "cpu" and (number == device or not number.isdecimal()):
        raise UserError(f"--device should be cpu or cuda:N, like cuda:0, not {device!r}")
    settings = {"use_gpu": False, "gpu_id": ""} if device == "cpu" else {"use_gpu": True, "gpu_id": number}
    for key, value in settings.items():
        said = given.get(key, value)
        if said != value and str(said).lower() != str(value).lower():
            raise UserError(f"--device {device} and --{key} {said!s} are at odds: leave one away")
    if device != "cpu" and int(number) >= (n_devices := _count_devices()):
        raise UserError(f"--device {device}: there are {n_devices} CUDA devices, counted from 0")
    return settings


def _count_devices() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def input_type(model_class: type, loss_type: str | None) -> InputType:
    """Return how examples reach the model: what its class says, else what its ``loss_type`` implies.

    Raises:
        UserError: neither says.
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
"""The metrics, by lower-case name, of which a smaller value is better."""


def is_bigger_better(metric: str) -> bool:
    """Return whether a larger value of a metric, such as ``Recall@10``, is better; of those from elsewhere it is."""
    return metric.partition("@")[0].lower() not in SMALLER_IS_BETTER


def repeatable(given: bool | None, model_type: ModelType, where: str | None) -> bool | None:
    """Return whether people may be recommended what they have, None where that is so, or not, by itself.

    Raises:
        UserError: sequences and baskets are asked for what people do not have yet.
    """
    if model_type in (ModelType.SEQUENTIAL, ModelType.NEXT_BASKET):
        if given is False:
            raise UserError(f"repeatable ({where}): what comes next may have come before; leave it out")
        return None
    return given or None
