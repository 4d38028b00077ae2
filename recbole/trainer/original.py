"""Reads checkpoints written by RecBole 1.x or its fork ERASE without executing code from them.

Such a file contains a pickle with a ``Config`` object and tensors. To execute no code of the file, the reader replaces
the functions that build tensors by functions of this module, and every other known class by :class:`Inert`, whose
objects only store what they are given. A file with an unknown class or function is refused.
"""

import collections
import logging
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole.config import Config
from recbole.utils import UserError

logger = logging.getLogger("recbole")

STORAGES = {
    f"{kind}Storage": getattr(torch, dtype)
    for kind, dtype in {
        "Float": "float32",
        "Double": "float64",
        "Half": "float16",
        "BFloat16": "bfloat16",
        "Long": "int64",
        "Int": "int32",
        "Short": "int16",
        "Char": "int8",
        "Byte": "uint8",
        "Bool": "bool",
    }.items()
}
"""Name of a PyTorch storage class to its dtype. Files with other storages, such as complex numbers, are refused."""

_INERT = {
    ("recbole.config.configurator", "Config"),
    ("recbole.utils.enum_type", "ModelType"),
    ("yaml.loader", "FullLoader"),
    ("torch", "device"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "dtype"),
}
_INERT_PREFIXES = ("recbole.model.", "recbole.utils.enum_type", "recbole.trainer.", "recbole.evaluator.")


class Inert:
    """Stands for an object in a pickle whose class must not be executed.

    Attributes:
        arguments: the arguments that the pickle gives to the class.
        state: the state that the pickle gives to the object; the attribute is missing if there is none.
    """

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _rebuild_tensor(
    storage: torch.Tensor, offset: int, size: Iterable[int], stride: tuple[int, ...], *_: Any
) -> torch.Tensor:
    tensor = torch.empty(0, dtype=storage.dtype)
    return tensor.set_(storage.untyped_storage(), offset, tuple(size), tuple(stride))


def _numpy_scalar(dtype: Any, value: bytes = b"") -> Any:
    kind = dtype.arguments[0] if isinstance(dtype, Inert) else dtype
    return np.frombuffer(value, dtype=np.dtype(str(kind)))[0].item() if value else None


class _Reader(pickle.Unpickler):
    """An unpickler that builds tensors and plain containers, and :class:`Inert` objects for other allowed classes."""

    def __init__(self, archive: zipfile.ZipFile, prefix: str, path: Path) -> None:
        super().__init__(archive.open(f"{prefix}/data.pkl"))
        self.archive, self.prefix, self.path = archive, prefix, path
        self.storages: dict[tuple[str, torch.dtype], torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what is used in place of a class or function that the pickle looks up.

        Raises:
            UserError: checkpoints of RecBole and ERASE do not contain this class or function.
        """
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) in {("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor")}:
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "scalar":
            return _numpy_scalar
        if (module, name) in _INERT or module.startswith(_INERT_PREFIXES):
            return Inert
        if f"{module}.".startswith("torch."):
            raise UserError(f"{self.path}: refused: it contains {module}.{name}, not a dense array of real numbers")
        raise UserError(f"{self.path}: refused: loading it would run {module}.{name}; it is not a checkpoint")

    def persistent_load(self, reference: Any) -> torch.Tensor:
        """Return the tensor storage that the pickle refers to, as a one-dimensional tensor.

        Raises:
            UserError: the pickle refers to something other than a storage of real numbers.
        """
        kind, dtype, key, _, count = reference
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise UserError(f"{self.path}: refused: it stores something other than tensors")
        if (key, dtype) not in self.storages:
            data = bytearray(self.archive.read(f"{self.prefix}/data/{key}"))
            self.storages[key, dtype] = (
                torch.frombuffer(data, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)
            )
        return self.storages[key, dtype]


def read_original(path: Path) -> dict[str, Any]:
    """Return the checkpoint dictionary of a file that RecBole or ERASE wrote.

    Three entries differ from those in the file: ``config`` is the final configuration as a plain dictionary,
    ``original`` is True (which marks files of RecBole and ERASE), and ``optimizer`` is None.

    Raises:
        UserError: the file is truncated, is not a checkpoint of RecBole or ERASE, or would execute code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(members) != 1:
                raise UserError(f"{path}: not a checkpoint: it has {len(members)} data.pkl members instead of one")
            checkpoint = _Reader(archive, members[0].removesuffix("/data.pkl"), path).load()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: truncated or not a checkpoint ({type(error).__name__}: {error})") from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise UserError(f"{path}: has no entry 'state_dict'; it is not a checkpoint of a model")
    return checkpoint | {"config": _plain_config(checkpoint.get("config")), "original": True, "optimizer": None}


def _plain_config(config: Any) -> dict[str, Any]:
    """Return the plain values of the final configuration in a RecBole ``Config`` that was read as :class:`Inert`."""
    state = getattr(config, "state", None) or {}
    final = state.get("final_config_dict", {}) if isinstance(state, dict) else {}
    return {k: v for k, v in final.items() if isinstance(v, (str, int, float, bool, list, dict, type(None)))}


def follow_original(config: Config, content: Any, path: str | Path) -> None:
    """Set ``time_precision`` to ``single`` if a checkpoint was written by RecBole or ERASE.

    These programs read timestamps in single precision, which decides the order of interactions with close timestamps.

    Args:
        config: the run's configuration, changed in place.
        content: the checkpoint's dictionary.
        path: the checkpoint file, for the log line.
    """
    if isinstance(content, dict) and content.get("original") and config["time_precision"] != "single":
        logger.info("%s was written by RecBole or ERASE: time_precision is set to single, as in these programs", path)
        config["time_precision"] = "single"
