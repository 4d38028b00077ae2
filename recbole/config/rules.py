"""Rules for the values of settings: which values the program's settings and its models' hyper-parameters may have."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from recbole.config.layers import TEXT_KEYS
from recbole.utils import UserError
from recbole.utils.intervals import parse_intervals

#: Names of the optimizers that the setting ``learner`` accepts, in upper or lower case.
LEARNERS = ("adam", "adamw", "sgd", "adagrad", "rmsprop", "sparse_adam")


@dataclass(frozen=True)
class Rule:
    """The rule for the values of a setting.

    Attributes:
        told: the allowed values in words, which follow "should be" in a message, such as "an integer of at least 0".
        meets: function that returns whether a value is allowed.
        kind: function that converts an allowed value to the type that the program uses, such as ``int``.
    """

    told: str
    meets: Callable[[Any], bool]
    kind: Callable[[Any], Any] = lambda value: value


_LARGEST = (2 - 2**-23) * 2.0**127
"""The largest number of the type float32, about 3.4e38. PyTorch computes with float32, in which 1e300 has no value."""


def is_number(value: Any) -> bool:
    """Return whether a value is a real number in the range of float32, or infinite, and neither a bool nor NaN."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and (-_LARGEST <= value <= _LARGEST or value in (math.inf, -math.inf))


def _is_integer(value: Any) -> bool:
    if isinstance(value, Integral):
        return not isinstance(value, bool) and -(2**63) <= int(value) < 2**63
    return is_number(value) and float(value).is_integer()


def _integer(told: str, inside: Callable[[Any], bool] = lambda value: True) -> Rule:
    return Rule(told, lambda value: _is_integer(value) and inside(value), int)


def _number(told: str, inside: Callable[[Any], bool] = lambda value: True) -> Rule:
    return Rule(told, lambda value: is_number(value) and inside(value), float)


def _list(rule: Rule, told: str, length: int | None = None) -> Rule:
    def meets(value: Any) -> bool:
        right_length = isinstance(value, (list, tuple)) and len(value) == (length or max(len(value), 1))
        return right_length and all(map(rule.meets, value))

    return Rule(told, meets, lambda value: [rule.kind(part) for part in value])


TRUTH = Rule("True or False", lambda value: isinstance(value, bool))
TEXT = Rule("text", lambda value: isinstance(value, str))
NAME = Rule("text that is not empty", lambda value: isinstance(value, str) and value != "")
CHARACTER = Rule(
    "one character of ASCII, like a comma, and no line break",
    lambda value: isinstance(value, str) and len(value) == 1 and value.isascii() and value not in "\r\n",
)
LEARNER = Rule(f"one of {', '.join(LEARNERS)}", lambda value: isinstance(value, str) and value.lower() in LEARNERS)
INTEGER = _integer("an integer of at most 64 bits")
NATURAL = _integer("an integer of at least 0, below 2^63", lambda n: n >= 0)
COUNT = _integer("an integer of at least 1, below 2^31", lambda n: 1 <= n < 2**31)
SEED = _integer("an integer from 0 to 2^63 - 1", lambda n: 0 <= n < 2**63)
NUMBER = _number("a number of at most 3.4e38 in size")
NOT_NEGATIVE = _number("a number of at least 0, at most 3.4e38", lambda x: 0 <= x < math.inf)
POSITIVE = _number("a number above 0, at most 3.4e38", lambda x: 0 < x < math.inf)
SHARE = _number("a number in [0, 1]", lambda x: 0 <= x <= 1)
PROBABILITY = _number("a number in [0, 1)", lambda x: 0 <= x < 1)
FRACTION = _number("a number in (0, 1]", lambda x: 0 < x <= 1)
CHECKPOINT = _integer("0, 1, 2 or 3", lambda n: 0 <= n <= 3)
NAMES = _list(TEXT, "a list of columns, like [rating, timestamp]")


def _is_columns(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, (list, tuple)) and all(map(TEXT.meets, value)) and len(set(value)) == len(value)


def _is_load_col(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(map(_is_columns, value.values())))


def _are_split_files(value: Any) -> bool:
    names = isinstance(value, (list, tuple)) and len(value) in (2, 3) and all(map(NAME.meets, value))
    return names and len(set(value)) == len(value)


def _is_interval(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(parse_intervals(value, "the value"))
    except UserError:
        return False


def _are_names(value: Any) -> bool:
    return all(map(TEXT.meets, value if isinstance(value, (list, tuple)) else [value]))


def _is_threshold(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) == 1
        and all(map(TEXT.meets, value))
        and all(map(is_number, value.values()))
    )


def _is_clipping(value: Any) -> bool:
    norms = {"max_norm": POSITIVE, "norm_type": _number("", lambda x: x > 0)}
    return (
        isinstance(value, dict)
        and "max_norm" in value
        and all(key in norms and norms[key].meets(part) for key, part in value.items())
    )


COLUMNS = Rule("null, or a list of different columns, like [follower_id]", _is_columns)
LOAD_COL = Rule("null, or a list of different columns for each file, like {inter: [user_id, item_id]}", _is_load_col)
SPLIT_FILES = Rule("two or three different names, like [train, test] or [train, valid, test]", _are_split_files, list)
INTERVAL = Rule('an interval, like "[5,inf)" or "(0,3];[7,9)"', _is_interval)
INTERVALS = Rule(
    'an interval for each column, like {rating: "[3.5,inf)"}',
    lambda value: isinstance(value, dict) and all(map(_is_interval, value.values())),
)
THRESHOLD = Rule("null, or one column and a number, like {rating: 4}", _is_threshold)
CLIPPING = Rule("null, or numbers above 0 like {max_norm: 5.0, norm_type: 2}", _is_clipping)

#: Dict from a setting's name to its rule. A setting whose default is null may also be null. A setting that is not
#: listed here must have the type of its default.
RULES: dict[str, Rule] = {
    # overall.yaml
    **dict.fromkeys(("seed", "unlearn_sample_selection_seed"), SEED),
    **dict.fromkeys(("epochs", "eval_step", "stopping_step"), NATURAL),
    "metric_decimal_place": _integer("an integer from 0 to 17", lambda n: 0 <= n <= 17),
    "MIN_NBR_BASKET_COUNT": NATURAL,
    **dict.fromkeys(("train_batch_size", "eval_batch_size", "unlearning_batchsize", "MAX_ITEM_LIST_LENGTH"), COUNT),
    "n_target_items": COUNT,
    **dict.fromkeys(("MAX_NBR_HISTORY_BASKETS", "MAX_NBR_BASKET_SIZE"), INTEGER),
    **dict.fromkeys(("learning_rate", "adam_eps"), POSITIVE),
    **dict.fromkeys(("adam_beta1", "adam_beta2"), PROBABILITY),
    **dict.fromkeys(("valid_metric_bigger", "normalize_all", "shuffle"), TRUTH),
    **dict.fromkeys(("weight_decay", "adagrad_accumulator"), NOT_NEGATIVE),
    "max_training_hours": _number("a number of at least 0, at most 3.4e38 or .inf", lambda x: x >= 0),
    "train_neg_sample_args sample_num": COUNT,
    "train_neg_sample_args alpha": _number("a number from -40 to 40", lambda x: -40 <= x <= 40),
    "clip_grad_norm": CLIPPING,
    "load_col": LOAD_COL,
    **dict.fromkeys(("alias_of_user_id", "alias_of_item_id"), COLUMNS),
    "benchmark_filename": SPLIT_FILES,
    "val_interval": INTERVALS,
    **dict.fromkeys(("user_inter_num_interval", "item_inter_num_interval"), INTERVAL),
    **dict.fromkeys(("USER_ID_FIELD", "ITEM_ID_FIELD", "ITEM_LIST_LENGTH_FIELD", "seq_separator"), NAME),
    "field_separator": CHARACTER,
    "learner": LEARNER,
    **dict.fromkeys(
        ("num_shards", "partition_iterations", "pretrain_epochs", "shard_workers", "protect_batches"), COUNT
    ),
    "capacity_factor": _number("a number of at least 1, at most 3.4e38", lambda x: 1 <= x < math.inf),
    **dict.fromkeys(("aggregate_epochs", "attack_seeds"), NATURAL),
    "aggregate_reg": NOT_NEGATIVE,
    "aggregate_dropout": PROBABILITY,
    "normalize_field": NAMES,
    "threshold": THRESHOLD,
    "repeatable": TRUTH,
    "tail_ratio": NOT_NEGATIVE,
    **dict.fromkeys(("unlearning_fraction", "protect_fraction"), FRACTION),
    **dict.fromkeys(TEXT_KEYS, TEXT),
    **dict.fromkeys(("forget_set", "sensitive_category"), NAME),
    "attribute": Rule("an attribute or a list of attributes, like [gender, age]", _are_names),
    "retrain_checkpoint_idx_to_match": CHECKPOINT,
    "other_seeds": _list(SEED, "a list of seeds, like [3, 5]"),
    # sizes of models, numbers of layers and the like
    **dict.fromkeys(("embedding_size", "mf_embedding_size", "mlp_embedding_size", "hidden_size", "inner_size"), COUNT),
    **dict.fromkeys(("n_layers", "num_layers", "n_heads", "n_intents", "step"), COUNT),
    **dict.fromkeys(("k", "sample_size", "n_neighbors", "group_size", "soft_samples", "lr_dc_step"), COUNT),
    "teacher_epochs": NATURAL,
    "mlp_hidden_size": _list(COUNT, "a list of integers of at least 1, like [128, 64]"),
    # hyper-parameters in [0, 1]
    **dict.fromkeys(("dropout_prob", "hidden_dropout_prob", "attn_dropout_prob", "drop_ratio"), PROBABILITY),
    "dropout_probs": _list(PROBABILITY, "a list of two numbers in [0, 1), like [0.25, 0.5]", length=2),
    **dict.fromkeys(("alpha", "within_decay_rate", "group_decay_rate", "epsilon"), SHARE),
    # weights, temperatures and the like
    **dict.fromkeys(("reg_weight", "teacher_reg_weight", "emb_reg", "cen_reg", "ssl_reg", "shrink"), NOT_NEGATIVE),
    **dict.fromkeys(("ssl_weight", "soft_weight", "distill_weight", "contrast_weight"), NOT_NEGATIVE),
    **dict.fromkeys(("negative_weight", "set_loss_weight"), NOT_NEGATIVE),
    **dict.fromkeys(("temp", "ssl_tau", "soft_tau", "distill_tau", "contrast_tau"), POSITIVE),
    **dict.fromkeys(("lr_dc", "layer_norm_eps", "initializer_range"), POSITIVE),
    "hidden_act": TEXT,
}

#: Dict from a model's class name to the rules that differ from :data:`RULES` for this model.
RULES_BY_MODEL: dict[str, dict[str, Rule]] = {
    "EASE": {"reg_weight": POSITIVE},  # without it the Gram matrix is singular
    "LightGCN": {"n_layers": NATURAL},  # with 0 layers it is matrix factorisation
    "SimRec": {"n_layers": _integer("an integer of at least 2", lambda n: n >= 2)},  # it needs a second layer
}


def rule_of(key: str, default: Any, model: str = "") -> Rule | None:
    """Return the rule for a setting, from :data:`RULES_BY_MODEL` or else :data:`RULES`.

    Args:
        key: the name of a setting in overall.yaml, or of a hyper-parameter of the model.
        default: its default.
        model: the model's class name; empty to ignore :data:`RULES_BY_MODEL`.

    Returns:
        ``None`` if there is no rule, or if the rule does not allow the default. In the second case the model comes from
        another package, and its hyper-parameter only has the same name as one with a rule.
    """
    rule = RULES_BY_MODEL.get(model, {}).get(key) or RULES.get(key)
    return rule if rule is None or default is None or rule.meets(default) else None


def rule_by_default(default: Any, strict: bool = True) -> Rule | None:
    """Return the rule that a setting's value must have the type of its default.

    Args:
        default: the default.
        strict: True allows only the type of the default. False also allows, for an integer default, other numbers, and
            for a text default, any value.

    Returns:
        ``None`` (any value) if the default is neither a bool nor a number nor text, for example if it is null.
    """
    if isinstance(default, bool):
        return TRUTH
    if isinstance(default, str):
        return TEXT if strict else None
    if isinstance(default, int):
        return INTEGER if strict else Rule(NUMBER.told, is_number, lambda x: int(x) if _is_integer(x) else float(x))
    return NUMBER if isinstance(default, float) else None
