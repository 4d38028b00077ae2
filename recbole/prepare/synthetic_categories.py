"""Randomly drawn categories of sensitive items, for data sets without descriptions of the items."""

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from recbole.prepare import program
from recbole.utils import UserError

Item = TypeVar("Item", str, int)


def draw_categories(candidates: Sequence[Item], size: int, seeds: Mapping[str, int]) -> dict[str, list[str]]:
    """Draw categories of items at random, one after the other, such that no item is in two of them.

    Args:
        candidates: the items to draw from. The result depends on their order.
        size: the number of items per category. The last categories have fewer items, if too few candidates are left.
        seeds: dict from the name of each category to the seed with which it is drawn.

    Returns:
        A dict from the name of each category to its items, as text. If no candidate is left for a category, the
        category is missing, and a line about this is printed.
    """
    categories = {}
    for category, seed in seeds.items():
        if not candidates:
            program.say(f"category '{category}' is left out, because no item is left to draw it from")
            continue
        drawn = random.Random(seed).sample(candidates, min(size, len(candidates)))
        categories[category] = list(map(str, drawn))
        candidates = [item for item in candidates if item not in set(drawn)]
    return categories


def middle_ranks(items: np.ndarray, low: float, high: float) -> list[int]:
    """Return items of medium popularity.

    The items are ranked by their numbers of interactions, the most popular one first. Among items with equally many
    interactions, the one with the smaller id comes first. A section of this ranking is returned.

    Args:
        items: int [n], the item id of each interaction.
        low: where the section starts: the share of the items that come before it, from 0 to 1.
        high: where the section ends: the share of the items up to its last one.

    Returns:
        The ids of the items, ascending.

    Raises:
        UserError: there are so few different items that the section is empty.
    """
    item, count = np.unique(items, return_counts=True)
    ranked = item[np.lexsort((item, -count))]
    first, last = (int(len(ranked) * share) for share in (low, high))
    if first == last:
        raise UserError(f"the data have only {len(ranked)} different items, too few to draw the category 'middling'")
    return sorted(ranked[first:last].tolist())
