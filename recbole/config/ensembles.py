"""Named ensembles of shard models: the partition and aggregation settings that each name implies."""

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
"""Dict from the name of an ensemble to its settings.

SISA: L. Bourtoule et al., "Machine Unlearning", S&P 2021. GraphEraser: M. Chen et al., "Graph Unlearning", CCS 2022.
RecEraser: C. Chen et al., "Recommendation Unlearning", WWW 2022. UltraRE: Y. Li et al., "UltraRE: Enhancing RecEraser
for Recommendation Unlearning via Error Decomposition", NeurIPS 2023.
"""

_REGULARISERS = {"static": 1.0, "attention": 1e-5}
"""The default of ``aggregate_reg`` of each aggregation that has a regulariser."""

_CHOICES = {"partition": PARTITIONS, "aggregate": AGGREGATES, "anchor_update": ANCHOR_UPDATES}


def settle_ensemble(config: Config, model_type: ModelType) -> None:
    """Complete the settings of an ensemble: those that the run leaves null get the values of the ensemble's name.

    Without the setting ``ensemble``, do nothing.

    Args:
        config: the run's settings, changed in place.
        model_type: type of the model of each shard. For sequential and next-basket models ``sisa`` partitions by hash.

    Raises:
        UserError: the ensemble or a value is unknown, or a setting for ensembles is set without ``ensemble``.
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
    """Return the ensemble settings, name to value, in which a run differs from :data:`PRESETS` and the defaults."""
    defaults = packaged("overall.yaml").values
    usual = {key: defaults[key] for key in marked("of_ensembles")} | _usual(config["ensemble"], model_type)
    usual["aggregate_reg"] = _regulariser(config)
    return {key: config[key] for key, value in usual.items() if key != "ensemble" and config[key] not in (value, None)}
