"""The comparison of unlearning runs as a command: ``python -m recbole.quick_start.report``."""

import sys
from collections.abc import Sequence

from recbole.utils import OneLineParser, UserError


def main(argv: Sequence[str] | None = None, prog: str = "report") -> int:
    """Print the comparison of result files; return the exit status.

    Args:
        argv: arguments, those of the process by default.
        prog: what the command is called.
    """
    parser = OneLineParser(
        prog=prog,
        description="Compare unlearning runs. What differs in data set, model, seed, scenario, algorithm or settings "
        "stands apart; base and retrained models of the same settings stand there once. Files of several seeds, made "
        "with unlearn.py --other_seeds, are compared over seeds too.",
    )
    parser.add_argument("files", nargs="+", help="result files of unlearn.py")
    parser.add_argument("--csv", help="also write the table here, with all of its columns and digits")
    parser.add_argument(
        "--k", type=int, help="length of the lists that are shown (default: the smallest that all have)"
    )
    parser.add_argument(
        "--brief", action="store_true", help="say in short what the runs came to after the last request, in words"
    )
    arguments = parser.parse_args(argv)
    from recbole.report.brief import in_short
    from recbole.report.comparison import TABLES_BEGIN, comparison, names_of
    from recbole.report.intervals import as_told
    from recbole.report.lines import COUNTS, IDENTITY, VIEWED
    from recbole.report.records import read_unlearned
    from recbole.report.seeds import ABOUT, over_seeds
    from recbole.report.tables import as_short_text, check_own_table, write_csv

    try:
        if arguments.csv:
            check_own_table(arguments.csv, TABLES_BEGIN)
        found = comparison(arguments.files, arguments.k)
        records = dict(zip(names_of(arguments.files), map(read_unlearned, arguments.files), strict=True))
        brief = in_short(records) if arguments.brief else None
        seeds = over_seeds(records.values())
        if arguments.csv:
            write_csv(found.table, arguments.csv)
    except UserError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    if brief is not None:
        print(brief)
        return 0
    print(as_short_text(as_told(found.table), [*IDENTITY, *VIEWED, *COUNTS]))
    print("\n".join([*found.notes, "", found.legend]))
    if seeds is not None:
        print("\n" + as_short_text(seeds.table, ABOUT))
        print("\n".join([*seeds.notes, "", seeds.legend]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
