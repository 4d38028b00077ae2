"""The places that settings come from, called layers, and how they are merged.

Layers are packaged files with defaults, the user's config files, a dictionary, and the command line.
"""

import copy
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recbole.config.plain import refuse_odd_text
from recbole.config.reader import parse_value, read_yaml
from recbole.utils import UserError
from recbole.utils.packaged import config_file

PROPERTIES = Path(__file__).parent.parent / "properties"
_BLOCK = "_fields"

#: Settings that are dictionaries and are merged key by key. All other settings are replaced as a whole.
MERGED_KEYS = ("eval_args", "train_neg_sample_args")

#: Settings that are text although their default is null. On the command line they are not parsed as YAML, in which a
#: category called ``no`` would become False.
TEXT_KEYS = (
    "sensitive_category",
    "unlearning_sample_selection_method",
    "forget_set",
    "hf_model_path",
    "checkpoint",
    "base_checkpoint",
    "release_secret",
    "log_dir",
    "variant",
    "preset",
    "ensemble",
    "partition",
    "aggregate",
    "anchor_update",
    "hf_token",
    "hf_cache_dir",
    "hf_sha256",
    "NEXT_BASKET_JSON",
)


@dataclass(frozen=True)
class Layer:
    """The settings from one place, such as a file.

    Attributes:
        name: the place, as shown in messages, such as the path of the file.
        values: the settings, name to value.
        kind: ``packaged`` (a file that is part of the program), ``file`` (a config file of the user), ``dict`` or
            ``command line``.
        lines: dict from the name of a setting to its line in the file, counted from 1; empty if the place is no file.
    """

    name: str
    values: dict[str, Any]
    kind: str = "packaged"
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def user(self) -> bool:
        """Whether the user wrote these settings, that is, they are not part of the program."""
        return self.kind != "packaged"

    def where(self, key: str) -> str:
        """Return the place of a setting (``key``) for messages: the name, and for config files also the line."""
        return f"{self.name}, line {self.lines[key]}" if self.user and key in self.lines else self.name


def user_layers(
    config_file_list: str | Path | Sequence[str | Path] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    command_line: Mapping[str, Any] | None = None,
) -> list[Layer]:
    """Return the settings that the user wrote, as one layer per place.

    These are the config files in their order, ``config_dict`` and the command line; the last two are always there, even
    if they have no settings. Later layers override earlier ones.

    Args:
        config_file_list: path or paths of YAML files. A path ``configs/...`` that does not exist is looked up in the
            installed package.
        config_dict: settings, a dict from name to value.
        command_line: settings, a dict from name to value; text is converted to the value that it has in YAML.

    Raises:
        UserError: a file cannot be read, ``config_file_list`` is neither a path nor a list of paths, or a setting
            contains a NUL or invalid characters.
    """
    read = [(str(path), *read_yaml(config_file(path))) for path in _paths(config_file_list)]
    files = [Layer(path, values, "file", lines) for path, values, lines in read]
    typed = {key: _typed(key, value) for key, value in (command_line or {}).items()}
    given = Layer("config_dict", dict(config_dict or {}), "dict"), Layer("command line", typed, "command line")
    found = [*files, *given]
    for layer in found:
        for key, value in layer.values.items():
            refuse_odd_text(key, f"a key ({layer.where(key)})")
            refuse_odd_text(value, f"{key} ({layer.where(key)})")
    return found


def _paths(given: Any) -> list[str | Path]:
    """Return one path, or each of several, as a list; none for ``None``. Raise a UserError for anything else."""
    if given is None or isinstance(given, (str, Path)):
        return [] if given is None else [given]
    paths = list(given) if isinstance(given, Iterable) else [given]
    if not all(isinstance(path, (str, Path)) for path in paths):
        raise UserError(f"configuration files should be given as a path or a list of paths, not {given!r}")
    return paths


def _typed(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key in ("model", "dataset", *TEXT_KEYS) or isinstance(packaged("overall.yaml").values.get(key), str):
        return None if value in ("None", "null") else value
    return parse_value(value)


@functools.cache
def packaged(name: str) -> Layer:
    """Return the default settings in the file ``recbole/properties/<name>``; none if there is no such file."""
    path = PROPERTIES / name
    values, lines = read_yaml(path) if path.is_file() else ({}, {})
    return Layer(f"default: {name}", values, lines=lines)


def packaged_layers(
    model: str, dataset: str, extra_defaults: Mapping[str, Any] | None = None, sequential: bool = False
) -> tuple[list[Layer], dict[str, Layer]]:
    """Return the default settings that are part of the program, for a model and a data set.

    Args:
        model: the model's class name.
        dataset: the data set's name. A subset called ``<name>_test`` has the defaults of the data set ``<name>``.
        extra_defaults: further settings with their defaults, such as hyper-parameters of unlearning algorithms.
        sequential: whether the model is sequential. In that case ``sequential.yaml`` overrides ``overall.yaml``.

    Returns:
        The list of layers that always apply, of which later ones override earlier ones: general defaults,
        ``extra_defaults``, the model's defaults and the data set's defaults. And a dict from a setting, such as
        ``spam``, to the layer that applies in addition if the setting is True: the block ``spam_fields`` in the data
        set's file.
    """
    of_dataset = packaged(f"dataset/{dataset.removesuffix('_test')}.yaml")
    blocks = [key for key, value in of_dataset.values.items() if key.endswith(_BLOCK) and isinstance(value, dict)]
    plain = {key: value for key, value in of_dataset.values.items() if key not in blocks}
    switched = {key.removesuffix(_BLOCK): Layer(f"{of_dataset.name} ({key})", of_dataset.values[key]) for key in blocks}
    overall = packaged("overall.yaml")
    layers = [
        replace(overall, values=overall.values | packaged("sequential.yaml").values) if sequential else overall,
        Layer("default: the program", dict(extra_defaults or {})),
        packaged(f"model/{model}.yaml"),
        Layer(of_dataset.name, plain),
    ]
    return layers, switched


def is_sequential(model: str) -> bool:
    """Return whether ``model`` (a class name) is one of this package's sequential models, without importing it."""
    return (PROPERTIES.parent / "model" / "sequential_recommender" / f"{model.lower()}.py").is_file()


def has_properties(model: str) -> bool:
    """Return whether this package has a file with default hyper-parameters for ``model`` (a class name)."""
    return (PROPERTIES / "model" / f"{model}.yaml").is_file()


def merge(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, Layer]]:
    """Merge the settings from several places.

    Args:
        layers: the settings of each place; later ones override earlier ones, and the dictionaries :data:`MERGED_KEYS`
            are merged key by key.

    Returns:
        A dict from name to value (a deep copy), and a dict from name to the last layer that contains the setting.
    """
    values: dict[str, Any] = {}
    winners: dict[str, Layer] = {}
    for layer in layers:
        for key, value in layer.values.items():
            below = values.get(key)
            if key in MERGED_KEYS and isinstance(value, dict) and isinstance(below, dict):
                values[key] = {**below, **value}
            else:
                values[key] = value
            winners[key] = layer
    return copy.deepcopy(values), winners
