"""Presets: named, packaged sets of hyper-parameters that replace the defaults of unlearning algorithms."""

from typing import Any

from recbole.config.layers import PROPERTIES, packaged
from recbole.utils import UserError, suggest

ANY_MODEL = "*"
"""The key in a preset's file for values that an algorithm has on every model; other keys are names of models."""


def preset_names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(path.stem for path in (PROPERTIES / "preset").glob("*.yaml"))


def pairs_of(preset: str) -> str:
    """Return the pairs of algorithm and model for which a preset has values, as text such as ``scif on BPR``."""
    values = packaged(f"preset/{preset}.yaml").values
    pairs = [(algorithm, model) for algorithm, models in values.items() for model in models]
    return ", ".join(f"{algorithm} on {'any model' if model == ANY_MODEL else model}" for algorithm, model in pairs)


def preset_values(preset: str, algorithm: str, model: str) -> dict[str, Any]:
    """Return a preset's hyper-parameters for an algorithm on a model, as a dict from name to value.

    Args:
        preset: the name of the preset.
        algorithm: the name of the unlearning algorithm.
        model: the class name of the model.

    Raises:
        UserError: there is no such preset, or it has no values for the algorithm on the model.
    """
    if preset not in preset_names():
        raise UserError(f"--preset: there is no preset '{preset}'{suggest(preset, preset_names())}")
    values = packaged(f"preset/{preset}.yaml").values.get(algorithm, {})
    found = values.get(model, values.get(ANY_MODEL))
    if found is None:
        raise UserError(f"--preset: '{preset}' has no values for {algorithm} on {model}, only for {pairs_of(preset)}")
    return found
