"""A command-line flag as data: what it is called, what it means, what it sets."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def yes_or_no(text: str) -> bool:
    """Return the truth value that ``text`` says."""
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise ValueError(text)
    return values[text.lower()]


def cutoffs(text: str) -> list[int]:
    """Return the integers in ``10``, ``10,20`` or ``[10,20]``."""
    return [int(number) for number in text.strip("[]").split(",")]


def metric_names(text: str) -> list[str]:
    """Return the names in ``Recall``, ``Recall,NDCG`` or ``[Recall, NDCG]``."""
    return [name.strip(" '\"") for name in text.strip("[] ").split(",")]


yes_or_no.__name__, cutoffs.__name__ = "True/False", "integer"  # argparse names the type in its message


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: without the dashes.
        type: function from text to value; ``bool`` makes a switch.
        help: what it does.
        default: value of the namespace when the flag is absent.
        key: the setting that it sets; ``None`` for flags that are no settings.
        negates: whether the switch turns the setting off.
        choices, nargs, short: as in argparse.
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
        """Return what the flag's ``value`` means for its key."""
        return not value if self.negates else value

    def add_to(self, group: "argparse._ArgumentGroup") -> None:
        """Add the flag to an argparse group."""
        options: dict[str, Any] = {"help": self.help.replace("%", "%%"), "dest": self.name}
        if self.type is bool:
            options |= {"nargs": "?", "const": True, "type": yes_or_no, "metavar": "True/False"}
        else:
            shown = None if self.choices else self.name.rpartition("_")[2].upper()
            options |= {"nargs": self.nargs, "type": self.type, "choices": self.choices, "metavar": shown}
        group.add_argument(*([f"-{self.short}"] if self.short else []), f"--{self.name}", **options)
