"""The command-line parser."""

import argparse
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """An argparse parser that reports a mistake in one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")
