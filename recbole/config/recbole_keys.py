"""Settings of RecBole 1.2.1 that this program does not have. Some of them cause an error, the others a warning.

A setting that would change data, split, evaluation or training in RecBole causes an error unless it has RecBole's
default, because without it the results would not be those that the user expects. Other settings are ignored, with a
warning. The settings that this program does have are in ``properties/``.
"""

from collections.abc import Collection
from typing import Any

from recbole.config.layers import Layer
from recbole.utils import UserError

_COLUMNS = "name the columns to read in load_col"
_GRAPH = "knowledge graphs are not available"
_SAVED = "every run reads the data from data_path and splits them"

REFUSED: dict[str, tuple[Any, str]] = {
    "require_pow": (False, "the model's regularisation does not use it"),
    "unload_col": (None, _COLUMNS),
    "unused_col": (None, _COLUMNS),
    "additional_feat_suffix": (None, "files other than .inter, .user and .item are not read"),
    "preload_weight": (None, "embeddings are initialised randomly"),
    "discretization": (None, "numbers are not divided into bins"),
    "numerical_features": ([], "no model here embeds numbers"),
    "seq_len": (None, "MAX_ITEM_LIST_LENGTH limits the history; other sequences are not cut"),
    "encoding": ("utf-8", "files are UTF-8"),
    **dict.fromkeys(("alias_of_entity_id", "alias_of_relation_id"), (None, _GRAPH)),
    **dict.fromkeys(("dataset_save_path", "dataloaders_save_path"), (None, _SAVED)),
    "kg_reverse_r": (False, _GRAPH),
    **dict.fromkeys(("entity_kg_num_interval", "relation_kg_num_interval"), ("[0,inf)", _GRAPH)),
    **dict.fromkeys(("nproc", "world_size"), (1, "start several processes with --nproc or torchrun")),
}  # fmt: skip
"""Settings that cause an error: dict from name to RecBole's default, the only accepted value, and the reason."""

_NO_FILE = "data sets and data loaders are not saved"
_NOWHERE = "flags of the same name, or torchrun, give the addresses of the processes"

HARMLESS: dict[str, tuple[Any, str]] = {
    "worker": (0, "batches are made in the training process, without workers"),
    "loss_decimal_place": (4, "losses are shown with four decimal places"),
    "log_wandb": (False, "curves are written for TensorBoard"),
    "wandb_project": ("recbole", "curves are written for TensorBoard"),
    **dict.fromkeys(("save_dataset", "save_dataloaders"), (False, _NO_FILE)),
    **dict.fromkeys(("neg_sampling", "training_neg_sample_num"), (None, "write train_neg_sample_args")),
    "POSITION_FIELD": ("position_id", "no column of positions is made"),
    "HEAD_ENTITY_ID_FIELD": ("head_id", _GRAPH),
    "TAIL_ENTITY_ID_FIELD": ("tail_id", _GRAPH),
    "RELATION_ID_FIELD": ("relation_id", _GRAPH),
    "ENTITY_ID_FIELD": ("entity_id", _GRAPH),
    **{key: (default, _NOWHERE) for key, default in (("ip", "localhost"), ("port", "5678"))},
    **dict.fromkeys(("group_offset", "offset", "local_rank"), (0, _NOWHERE)),
}
"""Settings that are ignored: dict from name to RecBole's default, which causes no warning, and the reason."""


def refuse(layer: Layer, known: Collection[str], drop_in: bool) -> None:
    """Reject settings of RecBole that would change the results there and that this program does not have.

    Args:
        layer: the settings in one place: a config file, a dictionary or the command line.
        known: the names of the settings that the program has.
        drop_in: whether the model comes from another package. If so, the setting ``require_pow`` is accepted, because
            the model may read it.

    Raises:
        UserError: a setting in :data:`REFUSED` has another value than RecBole's default. The message says which
            setting, where it is set, and what to do.
    """
    for key, value in layer.values.items():
        if key in known or key not in REFUSED or (drop_in and key == "require_pow"):
            continue
        default, instead = REFUSED[key]
        if _plain(value) != _plain(default):
            raise UserError(f"{key} ({layer.where(key)}): RecBole's {key} is not available: {instead}; leave it out")


def harmless(layer: Layer, known: Collection[str]) -> list[str]:
    """Return a warning for each setting in :data:`HARMLESS` that has another value than RecBole's default.

    Args:
        layer: the settings in one place: a config file, a dictionary or the command line.
        known: the names of the settings that the program has, which cause no warning.
    """
    ignored = {key: HARMLESS[key] for key in layer.values if key in HARMLESS and key not in known}
    return [
        f"{layer.where(key)}: RecBole's {key!r} does nothing here: {why}"
        for key, (default, why) in ignored.items()
        if _plain(layer.values[key]) != _plain(default)
    ]


def _plain(value: Any) -> Any:
    """Convert a value for comparison with RecBole's default: None if it is empty (or "None"), else lower-case text."""
    empty = value is None or value in ([], {}, (), "", "None")
    return None if empty else str(value).lower()
