"""Command lines."""

import argparse


class OneLineParser(argparse.ArgumentParser):
    """An argparse parser that tells mistakes in one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")
