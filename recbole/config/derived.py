"""Settings that follow from others."""

import hashlib
import os
from pathlib import Path

import torch

from recbole.utils import InputType, UserError

SPAM_FRACTION = 0.01
_LONGEST_STEM, _STEM_KEPT = 40, 31  # bytes


def selection_method(method, category):
    """Return the name of the way in which the forget set was drawn: what was said, or what the category implies."""
    return f"sensitive_category_{category}" if method is None and category is not None else method


def short_stem(path):
    """Return a file's name without its ending; of a long one the beginning, and a digest of the whole of it.

    File systems take names of 255 bytes, and those of unlearned models are long without it.
    """
    stem = Path(path).stem
    content = os.fsencode(stem)
    if len(content) <= _LONGEST_STEM:
        return stem
    return f"{content[:_STEM_KEPT].decode(errors='ignore')}-{hashlib.sha256(content).hexdigest()[:8]}"


def own_forget_set(values, asked):
    """Return the settings that follow from a ``forget_set`` of one's own: its `short_stem` is in the names.

    Args:
        values: all settings.
        asked: the keys that a person set, each with the place.

    Raises:
        UserError: another setting picks another forget set.
    """
    implied = {
        "spam": False,
        "unlearning_sample_selection_method": short_stem(values["forget_set"]),
        "unlearning_fraction": None,
        "unlearn_sample_selection_seed": None,
    }
    others = [key for key in implied if key in asked and values[key] not in (None, implied[key])]
    if others:
        either, other = (f"{key} {values[key]} ({asked[key]})" for key in ("forget_set", others[0]))
        raise UserError(f"{either} and {other} both say what is to be forgotten: leave one away")
    return implied


def data_folder(data_path, dataset):
    """Return the folder of one data set."""
    return os.path.join(data_path, dataset)


def choose_device(use_gpu, gpu_id, where):
    """Return the torch device: CUDA device ``gpu_id`` (text such as "0"), or the CPU if asked for or all there is.

    Raises:
        UserError: ``gpu_id`` is not a number, or there are fewer devices.
    """
    number = gpu_id.split(",")[0].strip()
    if number and not number.isdecimal():
        raise UserError(f"gpu_id ({where}) should be the number of a CUDA device, like 0, or empty, not {gpu_id!r}")
    if not use_gpu or not number or not torch.cuda.is_available():
        return torch.device("cpu")
    if int(number) >= torch.cuda.device_count():
        raise UserError(
            f"gpu_id {number} ({where}): there are {torch.cuda.device_count()} CUDA devices, counted from 0"
        )
    return torch.device(f"cuda:{number}")


def device_settings(device, given):
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
    n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device != "cpu" and int(number) >= n_devices:
        raise UserError(f"--device {device}: there are {n_devices} CUDA devices, counted from 0")
    return settings


def input_type(model_class, loss_type):
    """Return how examples reach the model: what its class says, else what its ``loss_type`` implies.

    Raises:
        UserError: neither says.
    """
    declared = getattr(model_class, "input_type", None)
    if declared is not None:
        return declared
    implied = {"CE": InputType.POINTWISE, "BPR": InputType.PAIRWISE}.get(loss_type)
    if implied is None:
        raise UserError(
            f"{model_class.__name__} declares no input_type, so loss_type should be CE or BPR, not {loss_type!r}"
        )
    return implied
