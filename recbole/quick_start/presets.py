"""Named hyper-parameters: alternatives to the defaults."""

from typing import Any

from recbole.config.layers import PROPERTIES, packaged
from recbole.utils import UserError, suggest

ANY_MODEL = "*"
"""What stands in a preset's file where a model would, if an algorithm has the same values on every model."""


def preset_names() -> list[str]:
    """Return the presets that there are, sorted."""
    return sorted(path.stem for path in (PROPERTIES / "preset").glob("*.yaml"))


def pairs_of(preset: str) -> str:
    """Return, for a message, which algorithms a preset has values for, and on which models."""
    values = packaged(f"preset/{preset}.yaml").values
    pairs = [(algorithm, model) for algorithm, models in values.items() for model in models]
    return ", ".join(f"{algorithm} on {'any model' if model == ANY_MODEL else model}" for algorithm, model in pairs)


def preset_values(preset: str, algorithm: str, model: str) -> dict[str, Any]:
    """Return the hyper-parameters that a preset has for an algorithm on a model.

    Raises:
        UserError: when there is no such preset, or it has nothing for the pair.
    """
    if preset not in preset_names():
        raise UserError(f"--preset: there is no preset '{preset}'{suggest(preset, preset_names())}")
    values = packaged(f"preset/{preset}.yaml").values.get(algorithm, {})
    found = values.get(model, values.get(ANY_MODEL))
    if found is None:
        raise UserError(f"--preset: '{preset}' has nothing for {algorithm} on {model}; it has {pairs_of(preset)}")
    return found
