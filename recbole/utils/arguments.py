"""Command lines."""

import argparse
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """An argparse parser that tells mistakes in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")
