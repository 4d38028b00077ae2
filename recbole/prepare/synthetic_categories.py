"""Categories for data that say nothing of what their items are."""

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from recbole.prepare import program
from recbole.utils import UserError

Item = TypeVar("Item", str, int)


def draw_categories(candidates: Sequence[Item], size: int, seeds: Mapping[str, int]) -> dict[str, list[str]]:
    """Draw categories one after the other, each from the candidates that those before it have left.

    Args:
        candidates: the items to draw from, in a fixed order.
        size: items of a category; all that are left, if fewer.
        seeds: dict from each category to the seed of its draw, by ``random.Random``.

    Returns:
        dict: from categories to item tokens; without those for which nothing was left, of which one line tells.
    """
    categories = {}
    for category, seed in seeds.items():
        if not candidates:
            program.say(f"no item is left to draw '{category}' from (left out)")
            continue
        drawn = random.Random(seed).sample(candidates, min(size, len(candidates)))
        categories[category] = list(map(str, drawn))
        candidates = [item for item in candidates if item not in set(drawn)]
    return categories


def middle_ranks(items: np.ndarray, low: float, high: float) -> list[int]:
    """Return the items that are neither popular nor rare: of a ranking by rows, those between two shares of it.

    Args:
        items: int array, the item of each row; of equally many rows the lower number ranks first.
        low, high: shares of the ranking, the most popular first.

    Returns:
        list: ascending.

    Raises:
        UserError: there are too few items for one to lie in between.
    """
    item, count = np.unique(items, return_counts=True)
    ranked = item[np.lexsort((item, -count))]
    first, last = (int(len(ranked) * share) for share in (low, high))
    if first == last:
        raise UserError(f"{len(ranked)} different items are too few to draw 'middling' from")
    return sorted(ranked[first:last].tolist())
