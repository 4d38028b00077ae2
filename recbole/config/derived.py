"""Derives settings from others, such as the device, and whether larger values of the validation metric are better."""

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
    """Return the device to compute on.

    Args:
        use_gpu: False for the CPU; True for a GPU, if CUDA is available.
        gpu_id: the number of the GPU as text, such as ``0``. Of several numbers (``0,1``) the first is used. An empty
            text or ``-1`` means the CPU.
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
    """Return the values of the settings ``use_gpu`` and ``gpu_id`` that correspond to the flag ``--device``.

    Args:
        device: the flag's value, ``cpu`` or ``cuda:N``.
        given: the settings on the command line, name to value (or text), which must not contradict the flag.

    Raises:
        UserError: ``device`` has another form, there is no such device, or ``use_gpu`` or ``gpu_id`` contradicts it.
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
    """Return the kind of training examples that a model needs: its ``InputType``.

    Args:
        model_class: the model's class. If it has an attribute ``input_type``, this is returned.
        loss_type: the setting, which decides otherwise: ``CE`` (cross-entropy) means POINTWISE, single items; ``BPR``
            means PAIRWISE, pairs of a positive and a negative item.

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
    """Return whether larger values of a metric are better; True for unknown metrics.

    Args:
        metric: the metric's name, with or without a list length (``Recall@10``), in upper or lower case.
    """
    return metric.partition("@")[0].lower() not in SMALLER_IS_BETTER


def repeatable(given: bool | None, model_type: ModelType, where: str | None) -> bool | None:
    """Return the setting ``repeatable``: whether the items of the user's history are ranked too.

    Args:
        given: the value that the user set; None if unset.
        model_type: the model's type.
        where: the place that set the value, for the message.

    Returns:
        True if the user set True and the model is neither sequential nor a next-basket model. Otherwise None, for the
        usual rule: sequential and next-basket models rank all items, other models only items outside of the history.

    Raises:
        UserError: ``repeatable`` is False for a sequential or next-basket model.
    """
    if model_type in (ModelType.SEQUENTIAL, ModelType.NEXT_BASKET):
        if given is False:
            raise UserError(f"repeatable ({where}) cannot be False for sequential and next-basket models: leave it out")
        return None
    return given or None
