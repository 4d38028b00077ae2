"""The settings that filter users and items before training, with their values in ERASE's configurations."""

from typing import Any

INTERVALS = ("user_inter_num_interval", "item_inter_num_interval")
EVERYTHING = "[0,inf)"
USUAL_FILTERS: dict[str, dict[str, Any]] = {
    "CF": dict.fromkeys(INTERVALS, "[5,inf)"),
    "SBR": dict.fromkeys(INTERVALS, EVERYTHING),
    "NBR": {"MIN_NBR_BASKET_COUNT": 4},
}
"""Dict from the task to a dict from its filter settings to their values."""
