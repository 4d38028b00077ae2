"""The comparison of unlearning runs as a command: ``python -m recbole.quick_start.report``."""

import argparse
import sys
from collections.abc import Sequence

from recbole.report.comparison import comparison, legend
from recbole.report.tables import as_text, write_csv
from recbole.utils import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Print the comparison of result files; return the exit status."""
    parser = argparse.ArgumentParser(prog="report", description="Compare unlearning runs of one base model.")
    parser.add_argument("files", nargs="+", help="result files of unlearn.py")
    parser.add_argument("--csv", help="also write the table here")
    arguments = parser.parse_args(argv)
    try:
        table = comparison(arguments.files)
        if arguments.csv:
            write_csv(table, arguments.csv)
    except UserError as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    print(as_text(table))
    print(legend(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
