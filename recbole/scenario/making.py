"""Argument and result of :meth:`Scenario.make`, which make_forget_set.py calls to write a scenario's files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole.config import Config


@dataclass(frozen=True)
class Source:
    """The clean data from which forget sets or spam are sampled, and the fractions and seeds of the samples.

    Attributes:
        path: the file of the clean data.
        task: ``CF`` (collaborative filtering), ``SBR`` (session-based) or ``NBR`` (next-basket recommendation).
        config: the settings, among others the names of the file's columns.
        fractions: sizes of the samples, each from 0 to 1. For forget sets it is the share of the interactions to
            forget, for spam the share of fake users (SBR: sessions) among all, real and fake.
        seeds: seeds of the samples. One sample is drawn for each pair of a seed and a fraction.
    """

    path: Path
    task: str
    config: Config
    fractions: list[float]
    seeds: list[int]


@dataclass(frozen=True)
class Made:
    """A forget set or spam attack that was written. From it, make_forget_set.py composes the commands to run next.

    Attributes:
        flags: command-line flags that select the scenario, such as ``--spam --n_target_items 10``.
        fraction: the fraction that was asked for, see :class:`Source`.
        seed: the seed of the sample.
        trains: whether the base model has to be trained with these flags too, because its training data contain spam.
    """

    flags: str
    fraction: float
    seed: int
    trains: bool = False


def once(values: list[Any]) -> list[Any]:
    """Return the distinct values, in the order of their first occurrence."""
    return list(dict.fromkeys(values))
