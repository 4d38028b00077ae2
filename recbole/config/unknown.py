"""Settings that nobody reads: mistyped ones, and ones that look as if they did something."""

from collections.abc import Collection

from recbole.config.layers import Layer
from recbole.config.recbole_keys import HARMLESS, REFUSED
from recbole.utils import UserError, suggest

EVAL_KEYS = ("split", "order", "group_by", "mode")

#: Keys that people set although they do not do what they seem to say.
_HINTS = {
    "min_user_inter_num": 'write user_inter_num_interval, for example "[5,inf)"',
    "min_item_inter_num": 'write item_inter_num_interval, for example "[5,inf)"',
    "training_batch_size": "write train_batch_size",
    "early_stop": "write stopping_step",
    "threshold": "it makes labels for eval_args mode labeled, and filters nothing; val_interval filters",
    "treshold": "it is a mistyped threshold, which filters nothing; val_interval filters",
}
_HINTS_BY_MODEL = {
    "BPR": {"loss": "BPR has one loss"},
    "GRU4Rec": {"n_layers": "write num_layers"},
}


def hint(key: str, model: str) -> str | None:
    """Return what to do about a key that does not do what it seems to say, or ``None``."""
    return _HINTS_BY_MODEL.get(model, {}).get(key) or _HINTS.get(key)


def check_command_line(layer: Layer, allowed: Collection[str], also_known: Collection[str], model: str) -> None:
    """Raise a UserError naming the nearest known name for a key of the command line that no layer declares."""
    for key in layer.values:
        if key not in allowed:
            advice = hint(key, model)
            advice = f": {advice}" if advice else suggest(key, [*allowed, *also_known])
            raise UserError(f"unknown setting --{key} on the command line{advice}")
    stray = _stray_eval_args(layer)
    if stray:
        raise UserError(f"unknown key {stray[0]!r} in eval_args on the command line{suggest(stray[0], EVAL_KEYS)}")


def warnings_for(layer: Layer, known: Collection[str], model: str, drop_in: bool) -> list[str]:
    """Return a line for each key of a config file or dict that does nothing or does not do what it seems to say.

    Args:
        layer: the layer to look at.
        known: the keys that are read.
        model: the model's name.
        drop_in: whether the program does not know the model's hyper-parameters; then unknown keys are taken for them.
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
