"""The program ``erase-bench report``, also ``python -m recbole.quick_start.report``: compares unlearning runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recbole.utils import OneLineParser, not_empty
from recbole.utils.ending import ended

if TYPE_CHECKING:
    from recbole.report.comparison import Comparison
    from recbole.report.seeds import OverSeeds


def main(argv: Sequence[str] | None = None, prog: str = "report") -> int:
    """Run the program: print a table that compares the result files of unlearning runs; return the exit status.

    Args:
        argv: the command-line arguments; None for those of the process.
        prog: the program's name in messages.
    """
    return ended(prog, lambda: _report(_parser(prog).parse_args(argv)), "each file is complete or unchanged")


def _report(arguments: argparse.Namespace) -> int:
    """Compare the files, print the tables and write the requested .csv files; return the exit status."""
    from recbole.report.attacks import chosen
    from recbole.report.brief import in_short
    from recbole.report.comparison import TABLES_BEGIN, comparison, names_of
    from recbole.report.records import read_unlearned
    from recbole.report.seeds import COLUMNS, over_seeds
    from recbole.report.tables import check_own_table, write_csv

    path = Path(arguments.csv) if arguments.csv else None
    beside = None if path is None else path.with_name(f"{path.stem}_over_seeds.csv")
    if path is not None:
        check_own_table(path, TABLES_BEGIN)
    found = comparison(arguments.files, arguments.k)
    records = dict(zip(names_of(arguments.files), map(read_unlearned, arguments.files), strict=True))
    brief = in_short(records) if arguments.brief else None
    seeds, attacks = over_seeds(records.values()), chosen(records)
    if beside is not None and seeds is not None and len(seeds.table):
        check_own_table(beside, [",".join(COLUMNS)])
        write_csv(seeds.table, beside)
    if path is not None:
        write_csv(found.table, path)
    if brief is not None:
        print(brief)
        return 0
    _print(found, seeds, beside)
    if attacks is not None:
        print(f"\nAttacks (explained in docs/attack.md):\n{attacks}")
    return 0


def _parser(prog: str) -> OneLineParser:
    parser = OneLineParser(
        prog=prog,
        description="Compare unlearning runs. Runs that differ in data set, model, seed, scenario, algorithm or "
        "settings get separate lines; base and retrained models with the same settings are shown once. For runs with "
        "several seeds on one forget set (unlearn.py --forget_set_seed), the report also shows means over seeds with "
        "95 % t intervals: of metrics, and of distances from the retrained models (with unlearn.py --other_seeds, also "
        "from those retrained with other seeds).",
    )
    parser.add_argument("files", nargs="+", help="result files of unlearn.py")
    parser.add_argument(
        "--csv",
        type=not_empty,
        metavar="FILE.csv",
        help="also write the table to this file, with all columns and digits, and the results over seeds, one row per "
        "quantity, to FILE_over_seeds.csv in the same folder",
    )
    parser.add_argument(
        "--k", type=int, help="length of the ranked lists to show (default: the smallest that all files have)"
    )
    parser.add_argument(
        "--brief", action="store_true", help="print only a short summary in words of the state after the last request"
    )
    return parser


def _print(found: Comparison, seeds: OverSeeds | None, beside: Path | None) -> None:
    """Print the table that compares the runs, and the means over seeds.

    Args:
        found: the comparison of the runs.
        seeds: the means over runs that differ only in the seed; None if there are no such runs.
        beside: the .csv file to which the means were written; None if they were not.
    """
    from recbole.report.intervals import as_told
    from recbole.report.lines import COUNTS, IDENTITY, VIEWED
    from recbole.report.seeds_told import LEGEND, tables
    from recbole.report.tables import as_short_text

    print(as_short_text(as_told(found.table), [*IDENTITY, *VIEWED, *COUNTS]))
    print("\n".join([*found.notes, "", found.legend]))
    if seeds is None:
        return
    for text in tables(seeds.table):
        print("\n" + text)
    if seeds.notes:
        print("\n".join(["", *seeds.notes]))
    if len(seeds.table):
        print("\n" + LEGEND)
    if len(seeds.table) and beside is not None:
        print(f"\nThe results over seeds are also in {beside}, for all checkpoints and with all digits.")


if __name__ == "__main__":
    sys.exit(main())
