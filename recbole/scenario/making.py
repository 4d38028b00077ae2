"""What is drawn from: the clean data of a data set, its task and its columns; and what is told of the draws."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole.config import Config


@dataclass(frozen=True)
class Source:
    """The clean data: the file, its task, the settings that name its columns, and how to draw from it.

    Attributes:
        path: the file.
        task: ``CF``, ``SBR`` or ``NBR``.
        config: the settings.
        fractions: the shares of the log, or of spam, that are asked for.
        seeds: the draws that are asked for.
    """

    path: Path
    task: str
    config: Config
    fractions: list[float]
    seeds: list[int]


@dataclass(frozen=True)
class Made:
    """One of the draws, for the commands that use it.

    Attributes:
        flags: what says on the command line which scenario it is.
        fraction, seed: of the draw.
        trains: whether training has to know of it.
    """

    flags: str
    fraction: float
    seed: int
    trains: bool = False


def once(values: list[Any]) -> list[Any]:
    """Return the values without repetition, in their order."""
    return list(dict.fromkeys(values))
