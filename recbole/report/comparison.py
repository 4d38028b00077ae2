"""The table of ``erase-bench report``: base, unlearned and retrained models side by side, from result files."""

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
"""List length k that is shown if no file has metrics of ranked lists."""

TABLES_BEGIN = (",".join([*IDENTITY, *VIEWED, *COUNTS]), "checkpoint,model,Recall@")
"""Beginnings of the first line of a .csv file with this table, as this version and earlier versions write it."""

_MEANING = """\
clean: trained on data without spam. base: before any request. rebuilt: base after rebuilding its data-derived parts (a
graph) without the forgotten rows, with no other change; its s/request is the time of one rebuild.
retrained_same_epoch: the retrained model's weights at the base's selected epoch, for diagnosis only. monolithic: in
runs of ensembles, a single model retrained on all retained data; its JS is from the retrained ensemble.
[low, high]: 95 % interval, from resampling users with all of their rows. forgotten log-odds, log2 rank: of forgotten
user-item pairs that were in the training data, among all items; "nothing to forget here": base and retrained do not
differ in these log-odds (the interval of the difference contains 0). sensitive, forgotten: mean number of sensitive
items, and of the user's own forgotten items, in the list of a requesting user. target HR: share of rows with a promoted
item in the top k; target exposure: share of promoted items in the top k; target rank, log p: means over the promoted
items that may be recommended. JS: Jensen-Shannon divergence from the retrained model's scores (nats).
n_people, n_rows: users and rows behind Recall and NDCG; n_requesting: users who had submitted a request by then. These
describe the whole run: requests (by outcome), median change (relative change of the parameters by a request), s/request
(mean over requests that required work) and speed-up (retraining time / s/request). amortised: time of one retraining /
time of all requests. = base: equal to base in every value shown. If nothing was applied, there is no speed-up."""


@dataclass(frozen=True)
class Comparison:
    """A comparison of runs as a table, with notes and a legend.

    Attributes:
        table: one row per model and checkpoint. The columns are :data:`IDENTITY`, :data:`VIEWED`, :data:`COUNTS`,
            metrics, ends of intervals, and costs. :func:`~recbole.report.intervals.as_told` formats it for printing.
        notes: lines of text about files without lists of the shown length, and about rows that were left out because
            they repeat others or that contradict others.
        legend: text that explains the columns.
    """

    table: pd.DataFrame
    notes: list[str]
    legend: str


def comparison(paths: Iterable[str | Path], k: int | None = None) -> Comparison:
    """Return a table that compares several runs.

    Runs that differ in data set, model, seed, scenario (what is forgotten), algorithm or settings get separate rows.
    Base and retrained models with the same settings are listed once.

    Args:
        paths: files that ``unlearn.py --result_file`` wrote.
        k: length of the ranked lists to show; None for the smallest that all files have.

    Raises:
        UserError: a file is not the record of an unlearning run, no file has lists of length ``k``, or the files have
            no list length in common.
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
    """Return a name for each file: its stem, or its path if several files have the same stem."""
    stems = {path: Path(path).stem for path in paths}
    of_stem: dict[str, set[Path]] = {}
    for path, stem in stems.items():
        of_stem.setdefault(stem, set()).add(Path(path).resolve())
    return [stems[path] if len(of_stem[stems[path]]) == 1 else str(path) for path in paths]


def _lengths(
    paths: Sequence[str | Path], records: Sequence[Record], k: int | None
) -> tuple[int, int | None, list[str]]:
    """Return which list lengths k to show.

    Args:
        paths: the result files.
        records: the content of these files.
        k: the list length that the user asked for, or None.

    Returns:
        Three values: the list length to show; the longest list length that all files have, or None if there is none;
            and notes about files that lack the former.

    Raises:
        UserError: see :func:`comparison`.
    """
    found = [list_lengths(record) for record in records]
    known = sorted(set().union(*found))
    common = sorted(set(known).intersection(*found))
    if k is None and known and not common:
        told = "; ".join(f"{path}: {', '.join(map(str, own))}" for path, own in zip(paths, found, strict=True))
        raise UserError(f"the files have no list length in common ({told}); choose one with --k")
    if k is not None and k not in known:
        raise UserError(f"--k: no file has lists of length {k}; known lengths: {', '.join(map(str, known)) or 'none'}")
    if k is None:
        k = common[0] if common else _TOP
    notes = [
        f"{path} has no lists of length {k}" for path, own in zip(paths, found, strict=True) if own and k not in own
    ]
    return k, common[-1] if common else None, notes


def _merged(lines: Iterable[Line]) -> tuple[list[Line], list[str]]:
    """Merge lines that show the same model and agree in all values that both have.

    Lines of the same model that do not agree are all kept.

    Returns:
        The remaining lines, and notes about lines that were merged or contradict each other.
    """
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
            same[0].about["run"] = None  # the model does not belong to a single file
    notes = [f"{_counted(repeated)} left out, because another row has the same model and values"] if repeated else []
    if contradicting:
        notes.append(f"{_counted(contradicting)} shown in addition to rows with the same settings but other values")
    return [line for same in kept.values() for line in same], notes


def _counted(rows: int) -> str:
    return "1 row is" if rows == 1 else f"{rows} rows are"


def _agree(one: Line, other: Line) -> bool:
    """Return whether two lines have equal values in all metrics that are known for both."""
    common = [heading for heading in one.values if heading in other.values]
    pairs = [(one.values[heading], other.values[heading]) for heading in common]
    return all(a == b or math.isnan(a) or math.isnan(b) for a, b in pairs)


def _filled(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Return the values in ``ours``; where a value is missing, empty or NaN, the one in ``theirs`` is used."""
    return theirs | {name: value for name, value in ours.items() if not (value == "" or pd.isna(value))}


def _sorted(lines: Sequence[Line]) -> list[Line]:
    """Return the lines sorted by group, then checkpoint, then kind of model.

    Groups (:attr:`Line.group`), and lines that are equal in all three, keep their order.
    """
    groups = {group: at for at, group in enumerate(dict.fromkeys(line.group for line in lines))}
    return sorted(
        lines,
        key=lambda line: (
            groups[line.group],
            line.about["checkpoint"],
            _ORDER.get(line.about["model"], len(_ORDER)),
        ),
    )
