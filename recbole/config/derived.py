"""Settings that follow from others."""

import os
from pathlib import Path

import torch

from recbole.utils import InputType, UserError


def data_folder(data_path: str | Path, dataset: str) -> str:
    """Return the folder of one data set."""
    return os.path.join(data_path, dataset)


def choose_device(use_gpu: bool, gpu_id: str, where: str) -> torch.device:
    """Return the torch device: CUDA device ``gpu_id`` (text such as "0"), or the CPU if asked for or all there is.

    Raises:
        UserError: ``gpu_id`` is not a number, or there are fewer devices.
    """
    number = gpu_id.split(",", maxsplit=1)[0].strip()
    if number and not number.isdecimal():
        raise UserError(f"gpu_id ({where}) should be the number of a CUDA device, like 0, or empty, not {gpu_id!r}")
    if not use_gpu or not number or not torch.cuda.is_available():
        return torch.device("cpu")
    if int(number) >= torch.cuda.device_count():
        raise UserError(
            f"gpu_id {number} ({where}): there are {torch.cuda.device_count()} CUDA devices, counted from 0"
        )
    return torch.device(f"cuda:{number}")


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
