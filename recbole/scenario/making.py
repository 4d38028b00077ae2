"""What make_forget_set.py passes to scenarios (the clean data), and what it gets back (a description of one draw)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole.config import Config


@dataclass(frozen=True)
class Source:
    """The clean data that forget sets or spam are drawn from, and the draws to make.

    Attributes:
        path: the file of the clean data.
        task: ``CF``, ``SBR`` or ``NBR``.
        config: the settings, among others the names of the file's columns.
        fractions: shares to draw: of the log's interactions for forget sets, of users (SBR: sessions) for spam.
        seeds: seeds to draw with. One draw is made for each pair of a seed and a fraction.
    """

    path: Path
    task: str
    config: Config
    fractions: list[float]
    seeds: list[int]


@dataclass(frozen=True)
class Made:
    """One of the draws, as the commands that use it need to know it.

    Attributes:
        flags: command-line flags that select the scenario, such as ``--spam --n_target_items 10``.
        fraction: the share that was drawn.
        seed: the seed of the draw.
        trains: whether the training of the base model needs these flags too.
    """

    flags: str
    fraction: float
    seed: int
    trains: bool = False


def once(values: list[Any]) -> list[Any]:
    """Return the distinct values, in the order of their first occurrence."""
    return list(dict.fromkeys(values))
