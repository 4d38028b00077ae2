"""The layers (packaged files, config files, command line) that settings come from, and how they are merged."""

import copy
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recbole.config.plain import refuse_odd_text
from recbole.config.reader import parse_value, read_yaml
from recbole.utils.packaged import config_file

PROPERTIES = Path(__file__).parent.parent / "properties"
_BLOCK = "_fields"

#: Dictionary settings that layers merge key by key instead of replacing them.
MERGED_KEYS = ("eval_args", "train_neg_sample_args")

#: Settings with the default null whose values are not parsed as YAML: a category may be called ``no``.
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
    """The settings from one place.

    Attributes:
        name: the place, as shown in messages.
        values: dict from setting to value.
        kind: ``packaged`` (part of the program), ``file`` (a config file), ``dict`` or ``command line``.
        lines: dict from setting to its line in the file, counted from 1; empty if the layer is not a file.
    """

    name: str
    values: dict[str, Any]
    kind: str = "packaged"
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def user(self) -> bool:
        """Whether the user chose these settings: the layer is not part of the program."""
        return self.kind != "packaged"

    def where(self, key: str) -> str:
        """Return the place of ``key`` for messages; for config files with the line."""
        return f"{self.name}, line {self.lines[key]}" if self.user and key in self.lines else self.name


def user_layers(
    config_file_list: str | Path | Sequence[str | Path] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    command_line: Mapping[str, Any] | None = None,
) -> list[Layer]:
    """Return the layers that the user wrote, later ones overriding earlier ones.

    They are the config files in their order, ``config_dict`` and the command line; for the arguments see
    :class:`~recbole.config.Config`.

    Raises:
        UserError: a file cannot be read, or a setting contains a NUL or invalid characters.
    """
    paths = [config_file_list] if isinstance(config_file_list, (str, Path)) else config_file_list or []
    read = [(str(path), *read_yaml(config_file(path))) for path in paths]
    files = [Layer(path, values, "file", lines) for path, values, lines in read]
    typed = {key: _typed(key, value) for key, value in (command_line or {}).items()}
    given = Layer("config_dict", dict(config_dict or {}), "dict"), Layer("command line", typed, "command line")
    found = [*files, *given]
    for layer in found:
        for key, value in layer.values.items():
            refuse_odd_text(key, f"a key ({layer.where(key)})")
            refuse_odd_text(value, f"{key} ({layer.where(key)})")
    return found


def _typed(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key in ("model", "dataset", *TEXT_KEYS) or isinstance(packaged("overall.yaml").values.get(key), str):
        return None if value in ("None", "null") else value
    return parse_value(value)


@functools.cache
def packaged(name: str) -> Layer:
    """Return the settings in ``recbole/properties/<name>`` as a layer; it is empty if there is no such file."""
    path = PROPERTIES / name
    values, lines = read_yaml(path) if path.is_file() else ({}, {})
    return Layer(f"default: {name}", values, lines=lines)


def packaged_layers(
    model: str, dataset: str, extra_defaults: Mapping[str, Any] | None = None, sequential: bool = False
) -> tuple[list[Layer], dict[str, Layer]]:
    """Return the layers that are part of the program: some that always apply, and some that a setting switches on.

    For a sequential model, ``sequential.yaml`` overrides ``overall.yaml``. A data set ``<name>_test``, which is a
    subset, has the properties of the data set ``<name>``.

    Args:
        model, dataset: their names.
        extra_defaults: settings that the calling program declares, with their defaults.
        sequential: whether the model is sequential.

    Returns:
        The list of layers that always apply, later ones overriding earlier ones. And a dict from a setting, such as
        ``spam``, to the layer that also applies if the setting is True: here the block ``spam_fields`` of the data
        set's properties.
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
    """Return whether ``model`` (a name) is one of the package's sequential models, without importing it."""
    return (PROPERTIES.parent / "model" / "sequential_recommender" / f"{model.lower()}.py").is_file()


def has_properties(model: str) -> bool:
    """Return whether the package has default hyper-parameters for ``model`` (a name)."""
    return (PROPERTIES / "model" / f"{model}.yaml").is_file()


def merge(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, Layer]]:
    """Merge ``layers``; later ones override earlier ones.

    Returns:
        A dict from setting to value (a deep copy), and a dict from setting to the last layer that sets it.
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
