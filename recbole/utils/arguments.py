"""The parser for the command lines of all programs."""

import argparse
from typing import NoReturn


def not_empty(text: str) -> str:
    """Return the value of a flag unchanged; a ``type`` for argparse.

    Raises:
        argparse.ArgumentTypeError: the value is the empty string, as in ``--csv ""``.
    """
    if not text:
        raise argparse.ArgumentTypeError("should not be empty")
    return text


class OneLineParser(argparse.ArgumentParser):
    """An argparse parser that ends the program at a mistake with status 2 and one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")
