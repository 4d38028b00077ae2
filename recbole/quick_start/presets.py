"""Named hyper-parameters: documented alternatives to ERASE's defaults."""

from typing import Any

from recbole.config.layers import packaged
from recbole.utils import UserError, suggest


def preset_values(preset: str, algorithm: str, model: str) -> dict[str, Any]:
    """Return the hyper-parameters that a preset has for an algorithm on a model.

    Raises:
        UserError: when there is no such preset, or it has nothing for the pair.
    """
    values = packaged(f"preset/{preset}.yaml").values
    if not values:
        raise UserError(f"--preset: there is no preset '{preset}'{suggest(preset, ['tuned'])}")
    found = values.get(algorithm, {}).get(model)
    if found is None:
        known = ", ".join(f"{a} on {m}" for a, models in values.items() for m in models)
        raise UserError(f"--preset: '{preset}' has nothing for {algorithm} on {model}; it has {known}")
    return found
