"""RecBole 1.2.1's settings that this program does not have: which are refused, and which do nothing.

One that would change data, split, evaluation or training is refused where it is not RecBole's default, wherever it was
set: who set it would get other numbers than asked for. The others do nothing, and a line says so. What the program has
stands in ``properties/``.
"""

from collections.abc import Collection
from typing import Any

from recbole.config.layers import Layer
from recbole.utils import UserError

_COLUMNS = "name the columns to read in load_col"
_GRAPH = "knowledge graphs are not available"
_SAVED = "data are read from data_path, and split, in every run"

REFUSED: dict[str, tuple[Any, str]] = {
    "require_pow": (False, "the loss of this model has no such power"),
    "unload_col": (None, _COLUMNS),
    "unused_col": (None, _COLUMNS),
    "additional_feat_suffix": (None, "files other than .inter, .user and .item are not read"),
    "preload_weight": (None, "embeddings begin with random values"),
    "discretization": (None, "numbers stay numbers"),
    "numerical_features": ([], "the models here embed no numbers"),
    "seq_len": (None, "of sequences MAX_ITEM_LIST_LENGTH cuts the history; other columns are not cut"),
    "encoding": ("utf-8", "files are UTF-8"),
    **dict.fromkeys(("alias_of_entity_id", "alias_of_relation_id"), (None, _GRAPH)),
    **dict.fromkeys(("dataset_save_path", "dataloaders_save_path"), (None, _SAVED)),
    "kg_reverse_r": (False, _GRAPH),
    **dict.fromkeys(("entity_kg_num_interval", "relation_kg_num_interval"), ("[0,inf)", _GRAPH)),
    **dict.fromkeys(("nproc", "world_size"), (1, "start several processes by --nproc or torchrun")),
}  # fmt: skip
"""Key to RecBole's default, the one value that is let pass, and to what to do instead."""

_NO_FILE = "no data set and no data loader is written"
_NOWHERE = "flags of the same name, or torchrun, say where the processes are"

HARMLESS: dict[str, tuple[Any, str]] = {
    "worker": (0, "batches are made by the process that trains"),
    "loss_decimal_place": (4, "losses are shown with four places"),
    "log_wandb": (False, "curves go to TensorBoard"),
    "wandb_project": ("recbole", "curves go to TensorBoard"),
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
"""Key to RecBole's default, of which nothing is said, and to why it does nothing."""


def refuse(layer: Layer, known: Collection[str], drop_in: bool) -> None:
    """Refuse RecBole's settings that would have to change something.

    Args:
        layer: a file, a dictionary or the command line.
        known: the keys that are read.
        drop_in: whether the model comes from elsewhere, and may read what the program does not know.

    Raises:
        UserError: naming the key, its place, and what to do instead.
    """
    for key, value in layer.values.items():
        if key in known or key not in REFUSED or (drop_in and key == "require_pow"):
            continue
        default, instead = REFUSED[key]
        if _plain(value) != _plain(default):
            raise UserError(f"{key} ({layer.where(key)}): RecBole's {key} is not available: {instead}; leave it out")


def harmless(layer: Layer, known: Collection[str]) -> list[str]:
    """Return a line for each of RecBole's settings that does nothing, unless it is at RecBole's default."""
    asked = {key: HARMLESS[key] for key in layer.values if key in HARMLESS and key not in known}
    return [
        f"{layer.where(key)}: RecBole's {key!r} does nothing here: {why}"
        for key, (default, why) in asked.items()
        if _plain(layer.values[key]) != _plain(default)
    ]


def _plain(value: Any) -> Any:
    """Return a value with what RecBole takes for the same made equal: nothing in several spellings, numbers as text."""
    empty = value is None or value in ([], {}, (), "", "None")
    return None if empty else str(value).lower()
