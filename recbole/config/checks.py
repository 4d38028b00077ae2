"""Settings that cannot work are refused before anything is read or trained."""

import math
from numbers import Real

from recbole.utils import UserError, suggest

#: Types of settings whose default is null, so that it cannot tell.
_NULLABLE = {
    "adam_beta1": float,
    "adam_beta2": float,
    "adam_eps": float,
    "max_training_hours": float,
    "unlearning_fraction": float,
    "unlearn_sample_selection_seed": int,
    "retrain_checkpoint_idx_to_match": int,
    "valid_metric_bigger": bool,
}
_SMALLEST = {
    "seed": 0,
    "epochs": 0,
    "train_batch_size": 1,
    "eval_batch_size": 1,
    "MAX_ITEM_LIST_LENGTH": 1,
    "unlearning_batchsize": 1,
    "n_target_items": 0,
    "unlearn_sample_selection_seed": 0,
    "retrain_checkpoint_idx_to_match": 0,
}
_CHOICES = {
    "task_type": ("CF", "SBR", "NBR", None),
    "time_precision": ("exact", "single"),
    "rm_dup_inter": ("first", "last", None),
}
_EXPECTED = {bool: "True or False", int: "an integer", float: "a number", str: "text"}
_SPLITS = {"RS": "a list of three shares, like [0.8, 0.1, 0.1]", "LS": "valid_and_test, valid_only or test_only"}


def checked_type(key, value, default, where, strict=True):
    """Return ``value`` as the type that its ``default`` has: a truth value, a number or text.

    Args:
        key: the setting.
        value: what was set.
        default: the packaged default.
        where: the place that set it, for the message.
        strict: whether the default tells integers, numbers and text apart; else only numbers and truth values are
            looked at, and any number will do.

    Raises:
        UserError: the value is of another type, or too small.
    """
    kind = _NULLABLE.get(key) if default is None else type(default)
    nullable = default is None or (kind is str and key.endswith(("_FIELD", "_interval")))
    if kind not in _EXPECTED or (nullable and value is None) or (kind is str and not strict):
        return value
    if kind is int and not strict:
        kind = float
    if not _fits(value, kind):
        raise UserError(f"{key} ({where}) should be {_EXPECTED[kind]}, not {value!r}")
    if key in _SMALLEST and value < _SMALLEST[key]:
        raise UserError(f"{key} ({where}) should be at least {_SMALLEST[key]}, not {value!r}")
    if kind is int or (kind is float and isinstance(default, int) and _fits(value, int)):
        return int(value)
    return float(value) if kind is float else value


def _fits(value, kind):
    if kind in (bool, str):
        return isinstance(value, kind)
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value):
        return False
    return kind is float or float(value).is_integer()


def check_choices(values, where):
    """Refuse a value outside of the few that a setting may have."""
    for key, choices in _CHOICES.items():
        if values.get(key) not in choices:
            possible = ", ".join("null" if choice is None else choice for choice in choices)
            raise UserError(f"{key} ({where(key)}) should be one of {possible}, not {values[key]!r}")
    fraction = values.get("unlearning_fraction")
    if fraction is not None and not 0 < fraction <= 1:
        raise UserError(f"unlearning_fraction ({where('unlearning_fraction')}) should be in (0, 1], not {fraction!r}")
    index = values.get("retrain_checkpoint_idx_to_match")
    if index is not None and index > 3:
        key = "retrain_checkpoint_idx_to_match"
        raise UserError(f"{key} ({where(key)}) should be 0, 1, 2 or 3, not {index}")


def checked_cutoffs(topk, where):
    """Return ``topk`` as a list of positive integers."""
    cutoffs = list(topk) if isinstance(topk, (list, tuple)) else [topk]
    if not cutoffs or not all(isinstance(k, int) and not isinstance(k, bool) and k > 0 for k in cutoffs):
        raise UserError(f"topk ({where}) should be a positive integer or a list of them, not {topk!r}")
    return cutoffs


def checked_metrics(metrics, where):
    """Return ``metrics`` as a list of names."""
    names = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
    if not names or not all(isinstance(name, str) and name.isidentifier() for name in names):
        raise UserError(f"metrics ({where}) should be a list of names, like [Recall, NDCG], not {metrics!r}")
    return names


def check_valid_metric(valid_metric, metrics, topk, where):
    """Refuse a ``valid_metric`` such as ``Recall@20`` that is not computed; metrics of single values have no ``@k``."""
    possible = [f"{name}@{k}" for name in metrics for k in topk]
    asked = str(valid_metric).lower()
    if asked not in {name.lower() for name in [*possible, *metrics]}:
        raise UserError(
            f"valid_metric {valid_metric!r} ({where}) is not among the metrics computed "
            f"(metrics at topk): possible are {', '.join(possible)}"
        )


def checked_eval_args(eval_args, where):
    """Return complete ``eval_args`` (keys split, order, group_by and mode as ``{"valid": .., "test": ..}``)."""
    if not isinstance(eval_args, dict):
        raise UserError(f"eval_args ({where}) should hold split, order, group_by and mode, not {eval_args!r}")
    _check_split(eval_args["split"], where)
    order, group_by = eval_args["order"], eval_args["group_by"]
    if order not in ("RO", "TO"):
        raise UserError(f"eval_args order ({where}) should be RO (random) or TO (by time), not {order!r}")
    if str(group_by).lower() not in ("user", "none"):
        raise UserError(f"eval_args group_by ({where}) should be user or null, not {group_by!r}")
    mode = eval_args["mode"]
    mode = {"valid": "full", "test": "full", **mode} if isinstance(mode, dict) else {"valid": mode, "test": mode}
    wrong = [part for part in mode if part not in ("valid", "test")]
    if wrong:
        raise UserError(f"eval_args mode ({where}) knows valid and test, not {wrong[0]!r}")
    for part, name in mode.items():
        if name != "full":
            raise UserError(
                f"eval_args mode of {part} ({where}) should be full, not {name!r}: every item is ranked, since ranks "
                "among sampled ones order models differently"
            )
    return {**eval_args, "group_by": None if str(group_by).lower() == "none" else group_by, "mode": mode}


def _check_split(split, where):
    kinds = list(split) if isinstance(split, dict) else []
    if len(kinds) != 1:
        raise UserError(f"eval_args split ({where}) should be like {{RS: [0.8, 0.1, 0.1]}}, not {split!r}")
    kind, value = kinds[0], split[kinds[0]]
    if kind not in _SPLITS:
        raise UserError(
            f"eval_args split ({where}) knows {' and '.join(_SPLITS)}, not {kind!r}{suggest(kind, _SPLITS)}"
        )
    if kind == "LS":
        good = value in ("valid_and_test", "valid_only", "test_only")
    else:
        numbers = isinstance(value, (list, tuple)) and all(
            isinstance(v, Real) and not isinstance(v, bool) and 0 <= v < math.inf for v in value
        )
        good = numbers and len(value) == 3 and sum(value) > 0
    if not good:
        raise UserError(f"eval_args split {kind} ({where}) should be {_SPLITS[kind]}, not {value!r}")


def checked_negatives(negatives, defaults, where):
    """Return complete ``train_neg_sample_args``, or ``None`` for no negatives."""
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
        complete[key] = checked_type(f"train_neg_sample_args {key}", complete[key], defaults[key], where)
    if complete["dynamic"]:
        raise UserError(f"train_neg_sample_args dynamic ({where}): dynamic negatives are not available; leave it False")
    if complete["sample_num"] < 1:
        raise UserError(
            f"train_neg_sample_args sample_num ({where}) should be at least 1, not {complete['sample_num']}"
        )
    return complete
