"""Errors and warnings for settings that the program does not read: mistyped ones, and names used by other programs."""

from collections.abc import Collection

from recbole.config.layers import Layer
from recbole.config.recbole_keys import HARMLESS, REFUSED
from recbole.utils import UserError, suggest

EVAL_KEYS = ("split", "order", "group_by", "mode")

#: Advice for keys that users set although they do not have the effect that their name suggests.
_HINTS = {
    "min_user_inter_num": 'write user_inter_num_interval, for example "[5,inf)"',
    "min_item_inter_num": 'write item_inter_num_interval, for example "[5,inf)"',
    "training_batch_size": "write train_batch_size",
    "early_stop": "write stopping_step",
    "threshold": "it makes labels for eval_args mode labeled and filters nothing; to filter, write val_interval",
    "treshold": "it is a mistyped threshold, which filters nothing; to filter, write val_interval",
}
_HINTS_BY_MODEL = {
    "BPR": {"loss": "BPR has one loss"},
    "GRU4Rec": {"n_layers": "write num_layers"},
}


def hint(key: str, model: str) -> str | None:
    """Return advice about a key whose name suggests an effect that it does not have, or ``None`` for other keys."""
    return _HINTS_BY_MODEL.get(model, {}).get(key) or _HINTS.get(key)


def check_command_line(layer: Layer, allowed: Collection[str], also_known: Collection[str], model: str) -> None:
    """Raise a UserError for an unknown key on the command line; the message suggests the most similar known name.

    Args:
        layer: the command line.
        allowed: the known keys.
        also_known: further names that may be suggested, such as those of flags.
        model: the model's name.
    """
    for key in layer.values:
        if key not in allowed:
            advice = hint(key, model)
            advice = f": {advice}" if advice else suggest(key, [*allowed, *also_known])
            raise UserError(f"unknown setting --{key} on the command line{advice}")
    stray = _stray_eval_args(layer)
    if stray:
        raise UserError(f"unknown key {stray[0]!r} in eval_args on the command line{suggest(stray[0], EVAL_KEYS)}")


def warnings_for(layer: Layer, known: Collection[str], model: str, drop_in: bool) -> list[str]:
    """Return a warning for each key of a config file or dict that has no effect, or not the effect that one expects.

    Args:
        layer: the config file or dict.
        known: the keys that the program reads.
        model: the model's name.
        drop_in: whether the model comes from another package, so that this one has no defaults for it. Unknown keys
            then count as the model's hyper-parameters and cause no warning.
    """
    lines = []
    for key in layer.values:
        advice = hint(key, model)
        if key not in known and advice:
            lines.append(f"{layer.where(key)}: {key!r} does nothing: {advice}")
        elif advice:
            lines.append(f"{layer.where(key)}: {key!r}: {advice}")
        elif key not in {*known, *REFUSED, *HARMLESS} and not drop_in and layer.kind == "file":
            lines.append(f"{layer.where(key)}: unknown key {key!r} does nothing{suggest(key, known)}")
    for key in _stray_eval_args(layer):
        advice = ": write it at the top level" if key in known else suggest(key, EVAL_KEYS)
        lines.append(f"{layer.where('eval_args')}: {key!r} inside eval_args does nothing{advice}")
    return lines


def _stray_eval_args(layer: Layer) -> list[str]:
    eval_args = layer.values.get("eval_args")
    return [key for key in eval_args if key not in EVAL_KEYS] if isinstance(eval_args, dict) else []
