"""Errors and warnings for names of settings that the program does not read, such as mistyped ones."""

from collections.abc import Collection

from recbole.config.layers import Layer
from recbole.config.recbole_keys import HARMLESS, REFUSED
from recbole.utils import UserError, suggest

EVAL_KEYS = ("split", "order", "group_by", "mode")

#: Dict from a setting's name to advice for users who set it. The names suggest effects that the settings do not have.
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
    """Return advice for a setting whose name suggests an effect that it does not have; ``None`` for other settings.

    Args:
        key: the name of the setting.
        model: the model's class name, as some settings need advice only for one model.
    """
    return _HINTS_BY_MODEL.get(model, {}).get(key) or _HINTS.get(key)


def check_names(layer: Layer, allowed: Collection[str], also_known: Collection[str], model: str) -> None:
    """Check that all settings on the command line, or all that a script passes, are known.

    Args:
        layer: the settings on the command line, or those of ``config_dict``.
        allowed: the names of all known settings.
        also_known: further names that may be suggested, such as those of command-line flags.
        model: the model's class name.

    Raises:
        UserError: a setting, or a key in ``eval_args``, is unknown. The message gives advice or the most similar name.
    """
    for key in layer.values:
        if key not in allowed:
            advice = hint(key, model)
            advice = f": {advice}" if advice else suggest(key, [*allowed, *also_known])
            shown = f"--{key} on the command line" if layer.kind == "command line" else repr(key)
            raise UserError(f"unknown setting {shown}{advice}")
    stray = _stray_eval_args(layer)
    if stray:
        where = " on the command line" if layer.kind == "command line" else ""
        raise UserError(f"unknown key {stray[0]!r} in eval_args{where}{suggest(stray[0], EVAL_KEYS)}")


def warnings_for(layer: Layer, known: Collection[str], model: str, drop_in: bool) -> list[str]:
    """Return warnings about settings that have no effect, or not the effect that their name suggests.

    Args:
        layer: the settings in a config file or in ``config_dict``. Unknown names cause a warning only in a file.
        known: the names of the settings that the program reads.
        model: the model's class name.
        drop_in: whether the model comes from another package. If so, unknown names count as hyper-parameters of the
            model and cause no warning.
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
