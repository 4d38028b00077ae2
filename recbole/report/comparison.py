"""The comparison that people read: base, unlearned and retrained side by side, from result files."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recbole.report.columns import Wanted, legend
from recbole.report.costs import AMORTISED, COSTS
from recbole.report.intervals import HEADROOM_ENDS, ends, with_intervals
from recbole.report.lines import COUNTS, IDENTITY, REMARKS, VIEWED, Line, columns_of, lines_of
from recbole.report.records import Record, list_lengths, read_unlearned
from recbole.utils import UserError

_KINDS = ("clean", "base", "rebuilt", "unlearned", "retrained", "retrained_same_epoch", "monolithic")
_ORDER = {name: at for at, name in enumerate(_KINDS)}
_TOP = 10
"""List length of what the headings say where no row has any."""

TABLES_BEGIN = (",".join([*IDENTITY, *VIEWED, *COUNTS]), "checkpoint,model,Recall@")
"""What the first line of such a table in a .csv file begins with: today, and in the versions before."""

_MEANING = """\
clean: trained without the spam. base: before any request. rebuilt: base, what it derives from the data (a graph) made
anew without what was forgotten, no step; its s/request is one rebuild. retrained_same_epoch: the retraining at the
epoch that was selected for the base, no yardstick. monolithic: beside an ensemble, the retrained model of all data;
its JS is from the retrained ensemble. [low, high]: 95 % interval, people drawn again with all of their
rows. forgotten log-odds, log2 rank: of the forgotten pairs that were trained on, among all items; "nothing to forget
here": base and retrained do not differ in these log-odds (the interval of the difference holds 0). sensitive,
forgotten: sensitive items, and a person's own forgotten items, in the list of the average requesting person. target
HR: the share of rows with a promoted item in the top k; target exposure: the share of the top k that promoted items
take; target rank, log p: means over the promoted items that may be recommended. JS: divergence from the retrained
model's scores (nats).
n_people, n_rows: of Recall and NDCG; n_requesting: people who had asked by then. Of the whole run are: requests (by
outcome), median change (of a request's parameters, relative), s/request (mean of those that had something to do) and
speed-up (seconds of retraining over that). amortised: seconds of one retraining over those of all requests to the last.
= base: the same as base in every value shown. Where nothing was applied there is no speed-up."""


@dataclass(frozen=True)
class Comparison:
    """A table with what is to be said of it.

    Attributes:
        table: one row a model of a checkpoint; columns are :data:`IDENTITY`, :data:`VIEWED`, counts, results, the
            ends of intervals, costs. :func:`~recbole.report.intervals.as_told` makes it one for people.
        notes: a line each: what was left out, and what has values that contradict each other.
        legend: what the columns are of and mean.
    """

    table: pd.DataFrame
    notes: list[str]
    legend: str


def comparison(paths: Iterable[str | Path], k: int | None = None) -> Comparison:
    """Return several runs as one table.

    What differs in data set, model, seed, scenario, algorithm or settings stands apart. Base and retrained models of
    the same settings stand there once.

    Args:
        paths: of what ``unlearn.py --result_file`` wrote.
        k: length of the lists that are shown; the smallest that all files have by default.

    Raises:
        UserError: when a file is no record of an unlearning run, or there is no such list length.
    """
    paths = list(paths)
    records = [read_unlearned(path) for path in paths]
    k, longest, notes = _lengths(paths, records, k)
    lines: list[Line] = []
    columns: dict[str, Wanted] = {}
    for record, name in zip(records, names_of(paths), strict=True):
        mine = columns_of(record, k, longest)
        columns |= mine
        lines += lines_of(record, name, mine)
    lines, more = _merged(lines)
    intervals = [end for heading in with_intervals(columns) for end in ends(heading)]
    named = [*IDENTITY, *VIEWED, *COUNTS, *columns, *intervals, *HEADROOM_ENDS]
    named += ["requests", "median change", *COSTS, *AMORTISED, REMARKS]
    table = pd.DataFrame([line.row for line in _sorted(lines)], columns=named)
    return Comparison(table, notes + more, "\n".join([*legend(columns), _MEANING]))


def names_of(paths: Sequence[str | Path]) -> list[str]:
    """Return what files are called: their stems or, where other files have the same, their paths."""
    stems = {path: Path(path).stem for path in paths}
    of_stem: dict[str, set[Path]] = {}
    for path, stem in stems.items():
        of_stem.setdefault(stem, set()).add(Path(path).resolve())
    return [stems[path] if len(of_stem[stems[path]]) == 1 else str(path) for path in paths]


def _lengths(
    paths: Sequence[str | Path], records: Sequence[Record], k: int | None
) -> tuple[int, int | None, list[str]]:
    """Return the list length that is shown, the longest that all files have, and what is to be said of that."""
    found = [list_lengths(record) for record in records]
    known = sorted(set().union(*found))
    common = sorted(set(known).intersection(*found))
    if k is None and known and not common:
        told = "; ".join(f"{path}: {', '.join(map(str, own))}" for path, own in zip(paths, found, strict=True))
        raise UserError(f"the files have no list length in common ({told}); --k chooses one")
    if k is not None and k not in known:
        raise UserError(f"--k: no file has lists of length {k}; there are {', '.join(map(str, known)) or 'none'}")
    if k is None:
        k = common[0] if common else _TOP
    notes = [
        f"{path} has no lists of length {k}" for path, own in zip(paths, found, strict=True) if own and k not in own
    ]
    return k, common[-1] if common else None, notes


def _merged(lines: Iterable[Line]) -> tuple[list[Line], list[str]]:
    """Return lines without those that say the same of the same model, and what is to be said of that."""
    kept: dict[tuple[Any, ...], list[Line]] = {}
    repeated = 0
    for line in lines:
        same = kept.setdefault(line.key, [])
        other = next((other for other in same if _agree(other, line)), None)
        if other is None:
            same.append(line)
            continue
        repeated += line.about["model"] == "unlearned"
        other.values, other.rest = _filled(other.values, line.values), _filled(other.rest, line.rest)
    contradicting = 0
    for same in kept.values():
        contradicting += len(same) - 1 if same[0].about["settings"] is not None else 0
        if len(same) == 1 and same[0].about["model"] != "unlearned":
            same[0].about["run"] = None  # it is of no single file
    notes = [f"{_counted(repeated)} left out: the same model and values as another's"] if repeated else []
    if contradicting:
        notes.append(f"{_counted(contradicting)} shown beside others of the same settings that have other values")
    return [line for same in kept.values() for line in same], notes


def _counted(rows: int) -> str:
    return "1 row is" if rows == 1 else f"{rows} rows are"


def _agree(one: Line, other: Line) -> bool:
    """Return whether no value of two lines differs; one may have values that the other lacks."""
    common = [heading for heading in one.values if heading in other.values]
    pairs = [(one.values[heading], other.values[heading]) for heading in common]
    return all(a == b or math.isnan(a) or math.isnan(b) for a, b in pairs)


def _filled(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Return our values and, where these are unknown, theirs."""
    return theirs | {name: value for name, value in ours.items() if not (value == "" or pd.isna(value))}


def _sorted(lines: Sequence[Line]) -> list[Line]:
    """Return lines by group (in order of appearance), checkpoint, kind of model, and order of appearance."""
    groups = {group: at for at, group in enumerate(dict.fromkeys(line.group for line in lines))}
    return sorted(
        lines,
        key=lambda line: (
            groups[line.group],
            line.about["checkpoint"],
            _ORDER.get(line.about["model"], len(_ORDER)),
        ),
    )
