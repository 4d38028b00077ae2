"""Command-line flags as objects with a name, a type, a help text and the setting that the flag sets."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def yes_or_no(text: str) -> bool:
    """Return True for true, 1 or yes, and False for false, 0 or no, in any case.

    Raises:
        ValueError: ``text`` is none of these.
    """
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise ValueError(text)
    return values[text.lower()]


def cutoffs(text: str) -> list[int]:
    """Convert the text of the flag ``--topk``, such as ``10``, ``10,20`` or ``[10,20]``, to integers (list lengths k).

    Raises:
        ValueError: the text has another form.
    """
    return [int(number) for number in text.strip("[]").split(",")]


def metric_names(text: str) -> list[str]:
    """Convert the text of the flag ``--metrics``, such as ``Recall,NDCG`` or ``[Recall, NDCG]``, to a list of names."""
    return [name.strip(" '\"") for name in text.strip("[] ").split(",")]


yes_or_no.__name__, cutoffs.__name__ = "True/False", "integer"  # argparse shows this name in its error messages


@dataclass(frozen=True)
class Flag:
    """One command-line flag.

    Attributes:
        name: its name without dashes.
        type: function that converts the text on the command line to the value. If it is ``bool``, the flag may also be
            given without a value, which means True.
        help: the help text.
        default: the value if the flag is not on the command line.
        key: the name of the setting that the flag sets: by default (empty string) the flag's name; None if the flag
            sets no setting.
        negates: whether the setting is True if the flag is False, and the other way round.
        choices: the possible values; None for any.
        nargs: the number of values, as in argparse; None for one.
        short: a second name of one letter, for example ``d`` for ``-d``; None for none.
    """

    name: str
    type: Callable[[str], Any]
    help: str
    default: Any = None
    key: str | None = ""
    negates: bool = False
    choices: tuple[Any, ...] | None = None
    nargs: str | None = None
    short: str | None = None

    def __post_init__(self) -> None:
        if self.key == "":
            object.__setattr__(self, "key", self.name)

    def setting(self, value: Any) -> Any:
        """Return the value that the setting gets from the flag's value: the same, or its negation with ``negates``."""
        return not value if self.negates else value

    def add_to(self, group: "argparse._ArgumentGroup") -> None:
        """Add the flag to an argument group of an argparse parser."""
        options: dict[str, Any] = {"help": self.help.replace("%", "%%"), "dest": self.name}
        if self.type is bool:
            options |= {"nargs": "?", "const": True, "type": yes_or_no, "metavar": "True/False"}
        else:
            shown = None if self.choices else self.name.rpartition("_")[2].upper()
            options |= {"nargs": self.nargs, "type": self.type, "choices": self.choices, "metavar": shown}
        group.add_argument(*([f"-{self.short}"] if self.short else []), f"--{self.name}", **options)
