"""Checks that reject invalid settings before any data are read."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from recbole.config.plain import is_secret
from recbole.config.rules import COUNT, NOT_NEGATIVE, Rule, rule_by_default, rule_of
from recbole.utils import UserError, suggest

_CHOICES = {
    "bad_lines": ("refuse", "leave_out"),
    "task_type": ("CF", "SBR", "NBR", None),
    "time_precision": ("exact", "single"),
    "rm_dup_inter": ("first", "last", None),
    "state": ("DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL"),
}
_MODE = re.compile(r"full|labeled|(uni|pop)([1-9][0-9]{0,9})")
_NULLABLE = ("RATING_FIELD", "TIME_FIELD", "LABEL_FIELD", "user_inter_num_interval", "item_inter_num_interval")
_SPLITS = {
    "RS": "a list of three shares, like [0.8, 0.1, 0.1], at most 3.4e38 and not all 0",
    "LS": "valid_and_test, valid_only or test_only",
}


def checked_type(key: str, value: Any, default: Any, where: str, rule: Rule | None = None, strict: bool = True) -> Any:
    """Check the value of a setting, and return it converted to the type that the program uses, such as ``int``.

    Args:
        key: the setting's name.
        value: the value; None is returned unchanged if the setting may be null.
        default: the setting's default in the packaged files.
        where: the place that set the value, for the message, such as ``my.yaml, line 3``.
        rule: the values that are allowed; None allows values of the default's type, see
            :func:`~recbole.config.rules.rule_by_default`.
        strict: used without a rule. True requires exactly the default's type. False also allows, for an integer
            default, other numbers, and for a text default, any value.

    Raises:
        UserError: the value has another type or is out of range.
    """
    rule = rule or rule_by_default(default, strict)
    if rule is None or (value is None and (default is None or key in _NULLABLE)):
        return value
    if not rule.meets(value):
        raise UserError(f"{key} ({where}) should be {rule.told}{'' if is_secret(key) else f', not {value!r}'}")
    return rule.kind(value)


def check_part_of_names(values: Mapping[str, Any], where: Callable[[str], str | None]) -> None:
    """Check that names that become part of file names are not empty and contain no path separator, as ``../x`` does.

    Args:
        values: settings, a dict from name to value. Of a list or dict all elements or keys are checked.
        where: function from a setting's name to the place that set its value, for the message.

    Raises:
        UserError: a name is empty, ``.`` or ``..``, or contains a path separator.
    """
    for key in ("dataset", "sensitive_category", "unlearning_sample_selection_method", "attribute", "attributes"):
        value = values.get(key)
        for name in value if isinstance(value, (list, tuple, dict)) else [value]:
            if isinstance(name, str) and (name in ("", ".", "..") or "/" in name or "\\" in name):
                raise UserError(
                    f"{key} ({where(key)}) should be a name without / and \\, because file names contain it, "
                    f"not {name!r}"
                )


def check_choices(values: Mapping[str, Any], where: Callable[[str], str]) -> None:
    """Check the settings that have a fixed list of possible values, such as ``task_type``.

    Args:
        values: all settings, a dict from name to value.
        where: function from a setting's name to the place that set its value, for the message.

    Raises:
        UserError: a setting has another value.
    """
    for key, choices in _CHOICES.items():
        value = values.get(key)
        if (value.upper() if key == "state" and isinstance(value, str) else value) not in choices:
            possible = ", ".join("null" if choice is None else choice for choice in choices)
            raise UserError(f"{key} ({where(key)}) should be one of {possible}, not {values[key]!r}")


def checked_cutoffs(topk: Any, where: str) -> list[int]:
    """Return the setting ``topk`` (lengths of the recommended lists) as a list of integers.

    Args:
        topk: the setting's value, a number or a list.
        where: the place that set the value, for the message.

    Raises:
        UserError: the value is neither a positive integer below 2^31 nor a list of such integers.
    """
    cutoffs = list(topk) if isinstance(topk, (list, tuple)) else [topk]
    if not cutoffs or not all(isinstance(k, int) and not isinstance(k, bool) and 0 < k < 2**31 for k in cutoffs):
        raise UserError(f"topk ({where}) should be a positive integer or a list of them, not {topk!r}")
    return cutoffs


def checked_metrics(metrics: Any, where: str) -> list[str]:
    """Return the setting ``metrics`` as a list of names. Whether the metrics exist is checked later.

    Args:
        metrics: the setting's value, a name or a list.
        where: the place that set the value, for the message.

    Raises:
        UserError: the value is neither a name nor a list of names.
    """
    names = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"metrics ({where}) should be a list of names, like [Recall, NDCG], not {metrics!r}")
    return names


def checked_eval_args(eval_args: Any, where: str) -> dict[str, Any]:
    """Check the setting ``eval_args``, which says how data are split and which items are ranked.

    Args:
        eval_args: the setting's value, a dict with the keys ``split``, ``order``, ``group_by`` and ``mode``.
        where: the place that set the value, for messages.

    Returns:
        The same dict in one notation: ``group_by`` is ``user`` or ``none``, and ``mode`` is a dict with the keys
        ``valid`` and ``test``.

    Raises:
        UserError: one of the values is not supported.
    """
    if not isinstance(eval_args, dict):
        raise UserError(f"eval_args ({where}) should be a dictionary (split, order, group_by, mode), not {eval_args!r}")
    _check_split(eval_args["split"], where)
    order, group_by = eval_args["order"], eval_args["group_by"]
    if order not in ("RO", "TO"):
        raise UserError(f"eval_args order ({where}) should be RO (random) or TO (by time), not {order!r}")
    group_by = "none" if group_by in (None, "None") else group_by
    if group_by not in ("user", "none"):
        raise UserError(
            f"eval_args group_by ({where}) should be user (each user's interactions are split) or none (all together), "
            f"not {group_by!r}"
        )
    return {**eval_args, "group_by": group_by, "mode": _checked_mode(eval_args["mode"], where)}


def _checked_mode(mode: Any, where: str) -> dict[str, str]:
    """Return the evaluation mode (such as ``full`` or ``uni100``) as a dict with the keys ``valid`` and ``test``.

    Args:
        mode: one mode for both, or a dict with one or both keys. If a key is missing, it gets the value of the other.
        where: the place that set the mode, for the message.

    Raises:
        UserError: a key or a mode is not supported.
    """
    given = mode if isinstance(mode, dict) else {"valid": mode}
    wrong = [part for part in given if part not in ("valid", "test")]
    if wrong or not given:
        raise UserError(f"eval_args mode ({where}) should have the keys valid and test, not {(wrong or [mode])[0]!r}")
    for part, name in given.items():
        known = _MODE.fullmatch(name) if isinstance(name, str) else None
        if known is None or (known[2] and not COUNT.meets(int(known[2]))):
            raise UserError(
                f"eval_args mode of {part} ({where}) should be full (all items are ranked), uni100 or pop100 (100 "
                f"items are drawn uniformly or by popularity; below 2^31), or labeled, not {name!r}"
            )
    other = next(iter(given.values()))
    return {part: given.get(part, other) for part in ("valid", "test")}


def _check_split(split: Any, where: str) -> None:
    kinds = list(split) if isinstance(split, dict) else []
    if len(kinds) != 1:
        raise UserError(f"eval_args split ({where}) should be like {{RS: [0.8, 0.1, 0.1]}}, not {split!r}")
    kind, value = kinds[0], split[kinds[0]]
    if kind not in _SPLITS:
        raise UserError(
            f"eval_args split ({where}) should have the key {' or '.join(_SPLITS)}, not {kind!r}"
            f"{suggest(kind, _SPLITS)}"
        )
    if kind == "LS":
        good = value in ("valid_and_test", "valid_only", "test_only")
    else:
        numbers = isinstance(value, (list, tuple)) and all(map(NOT_NEGATIVE.meets, value))
        good = numbers and len(value) == 3 and sum(value) > 0
    if not good:
        raise UserError(f"eval_args split {kind} ({where}) should be {_SPLITS[kind]}, not {value!r}")


def checked_negatives(negatives: Any, defaults: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    """Check the setting ``train_neg_sample_args``, which says how negative items are drawn in training.

    Args:
        negatives: the setting's value, a dict; None or ``distribution: none`` means that no negatives are drawn.
        defaults: every possible key of the dict with its default.
        where: the place that set the value, for messages.

    Returns:
        The dict, completed by defaults; None if no negatives are drawn.

    Raises:
        UserError: a key is unknown, or a value is not supported.
    """
    if negatives is None or negatives == "None":
        return None
    if not isinstance(negatives, dict):
        raise UserError(f"train_neg_sample_args ({where}) should be null or a dictionary, not {negatives!r}")
    for key in negatives:
        if key not in defaults:
            raise UserError(f"unknown key {key!r} in train_neg_sample_args ({where}){suggest(key, defaults)}")
    complete = {**defaults, **negatives}
    if str(complete["distribution"]).lower() == "none":
        return None
    if complete["distribution"] not in ("uniform", "popularity"):
        raise UserError(
            f"train_neg_sample_args distribution ({where}) should be uniform, popularity or null, "
            f"not {complete['distribution']!r}"
        )
    for key in ("sample_num", "alpha", "dynamic", "candidate_num"):
        name = f"train_neg_sample_args {key}"
        complete[key] = checked_type(name, complete[key], defaults[key], where, rule_of(name, defaults[key]))
    if complete["dynamic"]:
        raise UserError(f"train_neg_sample_args dynamic ({where}): dynamic negatives are not available; leave it False")
    return complete
