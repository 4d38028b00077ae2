"""Randomly drawn categories of items that serve as sensitive items, for data sets without item descriptions."""

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from recbole.prepare import program
from recbole.utils import UserError

Item = TypeVar("Item", str, int)


def draw_categories(candidates: Sequence[Item], size: int, seeds: Mapping[str, int]) -> dict[str, list[str]]:
    """Draw disjoint categories of items, one after the other.

    Args:
        candidates: the items to draw from, in a fixed order.
        size: the number of items per category. The last categories may have fewer, if too few candidates are left.
        seeds: dict from the name of a category to the seed of its ``random.Random``.

    Returns:
        Dict from a category to its item tokens. A category for which no candidate is left is missing, and a line about
        it is printed.
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
    """Return items of medium popularity: a section of the ranking of items by their number of rows.

    Args:
        items: int array [n], the item of each row. Among items with equally many rows, the smaller item number comes
            first in the ranking.
        low: where the section starts, as a share of the ranking; 0 is the most popular item.
        high: where the section ends, as a share of the ranking.

    Returns:
        The items in ascending order.

    Raises:
        UserError: there are too few items, so the section is empty.
    """
    item, count = np.unique(items, return_counts=True)
    ranked = item[np.lexsort((item, -count))]
    first, last = (int(len(ranked) * share) for share in (low, high))
    if first == last:
        raise UserError(f"the data have only {len(ranked)} different items, too few to draw the category 'middling'")
    return sorted(ranked[first:last].tolist())
