"""The ensembles that the setting ``ensemble`` can name, and the settings that each name stands for.

For exact unlearning, an ensemble has one model per shard (part) of the training data. A partition method divides the
data into shards, and an aggregation method combines the models' scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recbole.config.identity import marked
from recbole.config.layers import packaged
from recbole.utils import ModelType, UserError, suggest

if TYPE_CHECKING:
    from recbole.config import Config

PARTITIONS = ("random", "hash", "ubp", "ibp", "inbp", "bekm", "blpa", "ot")
AGGREGATES = ("mean", "mean_probability", "mean_embedding", "static", "attention", "merge", "own")
ANCHOR_UPDATES = ("vector", "scalar_compat")

PRESETS: dict[str, dict[str, Any]] = {
    "sisa": {"partition": "random", "aggregate": "mean", "anchor_update": "vector"},
    "grapheraser": {"partition": "bekm", "aggregate": "static", "anchor_update": "vector"},
    "receraser": {"partition": "inbp", "aggregate": "attention", "anchor_update": "scalar_compat"},
    "ultrare": {"partition": "ot", "aggregate": "merge", "anchor_update": "vector"},
}
"""Dict from the name of an ensemble to its settings (a dict from name to value).

SISA: L. Bourtoule et al., "Machine Unlearning", S&P 2021. GraphEraser: M. Chen et al., "Graph Unlearning", CCS 2022.
RecEraser: C. Chen et al., "Recommendation Unlearning", WWW 2022. UltraRE: Y. Li et al., "UltraRE: Enhancing RecEraser
for Recommendation Unlearning via Error Decomposition", NeurIPS 2023.
"""

_REGULARISERS = {"static": 1.0, "attention": 1e-5}
"""Dict from an aggregation method to its default of ``aggregate_reg``, the weight of its regulariser."""

_CHOICES = {"partition": PARTITIONS, "aggregate": AGGREGATES, "anchor_update": ANCHOR_UPDATES}


def settle_ensemble(config: Config, model_type: ModelType) -> None:
    """Complete the settings of a run with an ensemble, in place. Without the setting ``ensemble``, change nothing.

    ``partition``, ``aggregate``, ``anchor_update`` and ``aggregate_reg`` get the values that belong to the ensemble's
    name, if they are null.

    Args:
        config: the run's settings.
        model_type: the type of the shards' models. For sequential and next-basket models, ``sisa`` divides the data by
            a hash of the users instead of at random.

    Raises:
        UserError: the ensemble or one of the values is unknown, or one of the first three settings is set without
            ``ensemble``.
    """
    name = config["ensemble"]
    if name is None:
        stray = [key for key in _CHOICES if config[key] is not None]
        if stray:
            raise UserError(f"--{stray[0]} applies only to ensembles: add --ensemble ({', '.join(PRESETS)})")
        return
    if name not in PRESETS:
        raise UserError(f"--ensemble: '{name}' is unknown{suggest(name, PRESETS)}; known are {', '.join(PRESETS)}")
    for key, value in _usual(name, model_type).items():
        if config[key] is None:
            config[key] = value
        if config[key] not in _CHOICES[key]:
            raise UserError(f"--{key} should be one of {', '.join(_CHOICES[key])}, not '{config[key]}'")
    if config["aggregate_reg"] is None:
        config["aggregate_reg"] = _regulariser(config)


def _regulariser(config: Config) -> float:
    return _REGULARISERS.get(config["aggregate"], _REGULARISERS["attention"])


def _usual(name: str, model_type: ModelType) -> dict[str, Any]:
    choices = PRESETS[name]
    if name == "sisa" and model_type in (ModelType.SEQUENTIAL, ModelType.NEXT_BASKET):
        return choices | {"partition": "hash"}
    return choices


def differing(config: Config, model_type: ModelType) -> dict[str, Any]:
    """Return the settings for ensembles that a run has set to other than the usual values, as a dict name to value.

    The usual values are those that belong to the ensemble's name (:data:`PRESETS`), and otherwise the defaults.

    Args:
        config: the run's settings, completed by :func:`settle_ensemble`.
        model_type: the type of the shards' models.
    """
    defaults = packaged("overall.yaml").values
    usual = {key: defaults[key] for key in marked("of_ensembles")} | _usual(config["ensemble"], model_type)
    usual["aggregate_reg"] = _regulariser(config)
    return {key: config[key] for key, value in usual.items() if key != "ensemble" and config[key] not in (value, None)}
