"""The comparison of unlearning runs as a command: ``python -m recbole.quick_start.report``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recbole.utils import OneLineParser
from recbole.utils.ending import ended

if TYPE_CHECKING:
    from recbole.report.comparison import Comparison
    from recbole.report.seeds import OverSeeds


def main(argv: Sequence[str] | None = None, prog: str = "report") -> int:
    """Print the comparison of result files; return the exit status.

    Args:
        argv: arguments, those of the process by default.
        prog: what the command is called.
    """
    return ended(prog, lambda: _report(_parser(prog).parse_args(argv)), "each file is whole or as it was")


def _report(arguments: argparse.Namespace) -> int:
    """Compare, print and write what is asked for; return the exit status."""
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
        print(f"\nAttacks (docs/attack.md says how to read them):\n{attacks}")
    return 0


def _parser(prog: str) -> OneLineParser:
    parser = OneLineParser(
        prog=prog,
        description="Compare unlearning runs. What differs in data set, model, seed, scenario, algorithm or settings "
        "stands apart; base and retrained models of the same settings stand there once. Files of several seeds on one "
        "forget set (unlearn.py --forget_set_seed) are told over seeds too: means and 95 % t intervals of values and "
        "of distances from retrained models, those of other seeds where unlearn.py was given --other_seeds.",
    )
    parser.add_argument("files", nargs="+", help="result files of unlearn.py")
    parser.add_argument(
        "--csv",
        metavar="FILE.csv",
        help="also write the table here, with all of its columns and digits, and what is told over seeds, one row a "
        "quantity, beside it as FILE_over_seeds.csv",
    )
    parser.add_argument(
        "--k", type=int, help="length of the lists that are shown (default: the smallest that all have)"
    )
    parser.add_argument(
        "--brief", action="store_true", help="say in short what the runs came to after the last request, in words"
    )
    return parser


def _print(found: Comparison, seeds: OverSeeds | None, beside: Path | None) -> None:
    """Print the comparison and what is told over seeds, which is written to ``beside`` if that is not None."""
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
        print(f"\nWhat is told over seeds is also in {beside}, of all checkpoints and with all digits.")


if __name__ == "__main__":
    sys.exit(main())
