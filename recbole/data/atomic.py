"""RecBole's atomic files: separated values under a typed header, read and written with Arrow.

The first line gives each column's name and type: ``user_id:token<TAB>rating:float``. In files separated by commas or
semicolons, values may be quoted (``"a, b"``, with a quote inside doubled), as spreadsheet programs write them. In other
files there is no quoting and no escaping: a ``"`` is an ordinary character. Files are UTF-8 with LF line ends; a byte
order mark, CRLF and blank lines are accepted.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from recbole.data.atomic_header import QUOTING, SEPARATOR_NAMES, read_header
from recbole.data.surplus import without_surplus
from recbole.utils import FeatureType, UserError, atomic_write, suggest

Column: TypeAlias = pa.Array | pa.ChunkedArray
Values: TypeAlias = Sequence[Any] | np.ndarray | Column
"""The types that :func:`write_atomic` accepts for a column."""

_NUMBER = r"^[ \t]*([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(?i:nan|inf|infinity))[ \t]*$"
_EXACT_BELOW = 2.0**53
_ROWS_AT_ONCE = 1 << 18
_BYTES_AT_ONCE = 1 << 23

pa.set_memory_pool(pa.system_memory_pool())  # Arrow's default pool keeps freed memory, out of reach of NumPy and torch


def release_memory() -> None:
    """Return memory that Arrow no longer uses to the operating system."""
    pa.default_memory_pool().release_unused()


@dataclass(frozen=True)
class AtomicTable:
    """The content of one atomic file.

    Attributes:
        table: the columns, named without their types. A ``token`` column holds strings (or a dictionary of strings, see
            ``encoded`` of :func:`read_atomic`), null where a value is missing. A ``float`` column is int64 if every
            value is a whole number, else float64 with NaN where a value is missing. ``token_seq`` and ``float_seq``
            columns hold lists of string and of float64, empty where a value is missing.
        types: column name to type, in the table's order.
        path: the file.
    """

    table: pa.Table
    types: dict[str, FeatureType]
    path: Path


def read_atomic(
    path: str | Path,
    columns: Iterable[str] | None = None,
    separator: str = "\t",
    seq_separator: str = " ",
    encoded: bool = False,
    surplus: bool = False,
) -> AtomicTable:
    """Read an atomic file.

    Args:
        path: the file.
        columns: names of the columns to read, in the wanted order; ``None`` reads all.
        separator: the character between columns.
        seq_separator: the text between the elements of a sequence; several in a row count as one.
        encoded: whether ``token`` columns may be returned as Arrow dictionary arrays, which halves the memory for a
            large file.
        surplus: whether extra values at the end of a line are dropped with a warning. If False they are an error.

    Returns:
        AtomicTable: one row for each line that is not blank, in the file's order.

    Raises:
        UserError: the file cannot be read, a column is missing, or the header or a value is malformed. The message
            names the file and, where it applies, the line (the header is line 1) and the column.
    """
    path = Path(path)
    if len(separator) != 1:
        raise UserError(f"the field separator must be one character, not {separator!r}")
    header = read_header(path, separator)
    wanted = list(header) if columns is None else list(columns)
    for name in wanted:
        if name not in header:
            hint = suggest(name, header)
            raise UserError(f"{path}: there is no column '{name}'{hint}; the header has {', '.join(header)}")
    raw = _parse(path, header, wanted, separator, encoded=encoded, surplus=surplus)
    if separator in QUOTING:
        _refuse_open_quotes(path, raw)
    release_memory()  # parsing needs several times the memory of its result
    types = {name: header[name] for name in wanted}
    convert: dict[FeatureType, Callable[[pa.ChunkedArray, str], Column]] = {
        FeatureType.TOKEN: lambda column, name: column,
        FeatureType.FLOAT: lambda column, name: _numbers(column, path, name, separator),
        FeatureType.TOKEN_SEQ: lambda column, name: _lists(column, seq_separator),
        FeatureType.FLOAT_SEQ: lambda column, name: _number_lists(_lists(column, seq_separator), path, name),
    }
    table = pa.table({name: convert[kind](raw[name], name) for name, kind in types.items()})
    return AtomicTable(table, types, path)


def _parse(
    path: str | Path,
    header: Mapping[str, FeatureType],
    wanted: list[str],
    separator: str,
    as_text: bool = False,
    encoded: bool = False,
    surplus: bool = False,
) -> pa.Table:
    """Return the wanted columns of an atomic file, without converting text to numbers or lists.

    Values are strings, except that Arrow infers the type of ``float`` columns (unless ``as_text``). ``encoded`` and
    ``surplus`` are those of :func:`read_atomic`.
    """
    text = [name for name in wanted if as_text or header[name] is not FeatureType.FLOAT]
    with open(path, "rb") as file:
        file.readline()
        if not file.read(1 << 16).strip(b"\r\n"):
            return pa.table({name: pa.array([], pa.string() if name in text else pa.int64()) for name in wanted})
    convert = csv.ConvertOptions(
        include_columns=wanted,
        column_types=dict.fromkeys(text, pa.string()),
        null_values=[""],
        true_values=[],
        false_values=[],
        strings_can_be_null=True,
    )
    quote = '"' if separator in QUOTING else False
    parse = csv.ParseOptions(delimiter=separator, quote_char=quote, double_quote=bool(quote), ignore_empty_lines=True)
    read = csv.ReadOptions(column_names=list(header), skip_rows=1)
    table = _in_pieces(path, header, parse, convert) if encoded else None
    try:
        return csv.read_csv(path, read, parse, convert) if table is None else table
    except pa.ArrowInvalid as error:
        cut = without_surplus(path, len(header), separator) if surplus else None
        if cut is None:
            raise _explain(path, len(header), separator, error) from error
        return csv.read_csv(pa.BufferReader(cut), read, parse, convert)


def _in_pieces(
    path: str | Path, header: Mapping[str, FeatureType], parse: csv.ParseOptions, convert: csv.ConvertOptions
) -> pa.Table | None:
    """Parse a file block by block, with tokens as Arrow dictionaries, so that the whole text is never in memory.

    Return None if the file cannot be read in this way and has to be parsed as a whole: a line is malformed, or a block
    has other column types than the first one, for example because only a later block has numbers with a decimal point.
    """
    read, pieces = csv.ReadOptions(column_names=list(header), skip_rows=1, block_size=_BYTES_AT_ONCE), []
    try:
        with csv.open_csv(path, read, parse, convert) as reader:
            for batch in reader:
                named = zip(batch.schema.names, batch.columns, strict=True)
                pieces.append(pa.record_batch(
                    {n: c.dictionary_encode() if header[n] is FeatureType.TOKEN else c for n, c in named}
                ))  # fmt: skip
                del batch, named
                release_memory()
    except pa.ArrowInvalid:
        return None
    return pa.Table.from_batches(pieces).unify_dictionaries()


def _explain(path: str | Path, width: int, separator: str, error: Exception) -> UserError:
    """Return an error that names the line which Arrow could not parse; to find it, the whole file is scanned.

    Args:
        path: the file.
        width: the number of columns.
        separator: the character between columns.
        error: Arrow's error, whose first line is the message if no wrong line is found.
    """
    for number, line in _lines(path):
        found = line.count(separator.encode()) + 1
        if found != width:
            kind = SEPARATOR_NAMES.get(separator, repr(separator))
            return UserError(f"{path}:{number}: expected {width} {kind}-separated values, found {found}")
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            return UserError(f"{path}:{number}: not UTF-8 text")
    return UserError(f"{path}: {str(error).splitlines()[0]}")


def _lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Yield ``(line number, line)`` for the non-blank lines below the header; blank lines count in the numbering."""
    lines = Path(path).read_bytes().splitlines()
    return ((number, line) for number, line in enumerate(lines, start=1) if line and number > 1)


def line_of(path: str | Path, row: int) -> int:
    """Return the line number, in an atomic file, of a data row (counted from 0); the header is line 1."""
    return next(islice(_lines(path), int(row), None))[0]


def _not_a_number(path: str | Path, name: str, row: int, value: Any) -> UserError:
    """Return the error for a value of column ``name`` in data row ``row`` (from 0) that is not a number."""
    comma = re.fullmatch(r"\s*[+-]?\d+,\d+\s*", str(value))
    hint = "; decimals are written with a point" if comma else ""
    value = " ".join(str(value).splitlines())[:80]
    return UserError(f"{path}:{line_of(path, row)}: column '{name}': '{value}' is not a number{hint}")


def _refuse_open_quotes(path: Path, table: pa.Table) -> None:
    """Raise a UserError for a value that spans several lines: an unclosed quote would swallow rows."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
            at = pc.index(pc.match_substring_regex(pc.cast(column, pa.string()), "[\r\n]"), True).as_py()
            if at >= 0:
                raise UserError(f"{path}:{line_of(path, at)}: column '{name}': a quote is opened but not closed")


def _first_bad(strings: Column) -> int:
    """Return the index of the first string that is not a number, or -1 if all are numbers."""
    return pc.index(pc.match_substring_regex(strings, _NUMBER), False).as_py()


def _numbers(column: pa.ChunkedArray, path: Path, name: str, separator: str) -> Column:
    """Return a ``float`` column as int64, or as float64 with NaN where a value is missing.

    Raises:
        UserError: a value is not a number.
    """
    if pa.types.is_null(column.type):
        return pa.array(np.full(len(column), np.nan))
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        text = _parse(path, read_header(path, separator), [name], separator, as_text=True)[name]
        row = _first_bad(text)
        raise _not_a_number(path, name, row, text[row])
    if column.null_count:
        return pc.fill_null(pc.cast(column, pa.float64(), safe=False), np.nan)
    return column


def _lists(column: pa.ChunkedArray, separator: str) -> pa.ListArray:
    """Split a text column into lists of strings. Empty elements are dropped, so a missing value is an empty list."""
    column = pc.fill_null(column, "").combine_chunks()
    split = pc.split_pattern(column, separator)
    flat, owner = split.flatten(), pc.list_parent_indices(split).to_numpy()
    keep = pc.not_equal(flat, "")
    sizes = np.bincount(owner[keep.to_numpy(zero_copy_only=False)], minlength=len(column))
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, flat.filter(keep))


def _number_lists(lists: pa.ListArray, path: Path, name: str) -> pa.ListArray:
    """Convert lists of strings to lists of float64; raise a UserError if a string is not a number."""
    flat = lists.flatten()
    at = _first_bad(flat)
    if at >= 0:
        raise _not_a_number(path, name, pc.list_parent_indices(lists)[at].as_py(), flat[at])
    return pa.ListArray.from_arrays(lists.offsets, pc.cast(pc.utf8_trim_whitespace(flat), pa.float64()))


def write_atomic(
    path: str | Path,
    columns: Mapping[str, Values],
    types: Mapping[str, FeatureType | str],
    separator: str = "\t",
    seq_separator: str = " ",
) -> None:
    """Write an atomic file with LF line ends; an interruption leaves no partial file.

    Numbers are written in the shortest form that reads back as the same value, whole numbers without a decimal point.
    NaN and ``None`` are written as an empty value.

    Args:
        path: the file.
        columns: dict from a column's name to a sequence, NumPy array or Arrow array, all of the same length. The values
            of a ``token_seq`` or ``float_seq`` column are lists.
        types: dict from the same names to a `FeatureType` or its value, such as ``"token"``.
        separator: the character between columns.
        seq_separator: the text between the elements of a sequence.

    Raises:
        UserError: reading the file would not give the same values: a value contains the separator or a line break, an
            element of a sequence is empty or contains ``seq_separator``, or a row has no value at all.
    """
    kinds = {name: FeatureType(types[name]) for name in columns}
    with atomic_write(path) as file:
        file.write(separator.join(f"{name}:{kind.value}" for name, kind in kinds.items()) + "\n")
        for start in range(0, max(map(len, columns.values())), _ROWS_AT_ONCE):
            part = {name: values[start : start + _ROWS_AT_ONCE] for name, values in columns.items()}
            file.writelines(_rows(path, part, kinds, separator, seq_separator))


def _rows(
    path: str | Path,
    columns: Mapping[str, Values],
    types: Mapping[str, FeatureType],
    separator: str,
    seq_separator: str,
) -> list[str]:
    """Return the lines of some rows as strings, each with its line break."""
    texts = [_as_text(path, name, values, types[name], separator, seq_separator) for name, values in columns.items()]
    rows = pc.binary_join_element_wise(*texts, separator)
    if pc.any(pc.equal(rows, "")).as_py():
        raise UserError(f"cannot write {path}: a row without any value would be a blank line")
    return pc.binary_join_element_wise(rows, "\n", "").to_pylist()


def _as_text(
    path: str | Path, name: str, values: Values, kind: FeatureType, separator: str, seq_separator: str
) -> Column:
    if kind is FeatureType.TOKEN:
        text = pc.cast(pa.array(values), pa.string())
    elif kind is FeatureType.FLOAT:
        text = _number_text(pa.array(values))
    else:
        element = pa.string() if kind is FeatureType.TOKEN_SEQ else pa.float64()
        lists = pa.array(values, pa.list_(element))
        flat = lists.flatten() if kind is FeatureType.TOKEN_SEQ else _number_text(lists.flatten())
        _refuse(path, name, flat, re.escape(seq_separator) + "|^$")
        text = pc.binary_join(pa.ListArray.from_arrays(lists.offsets, flat), seq_separator)
    text = pc.fill_null(text, "")
    if kind in (FeatureType.TOKEN, FeatureType.TOKEN_SEQ):
        quotes = '|"' if separator in QUOTING else ""
        _refuse(path, name, text, f"{re.escape(separator)}|[\r\n]{quotes}")
    return text


def _number_text(values: Column) -> Column:
    if not pa.types.is_floating(values.type):
        return pc.fill_null(pc.cast(values, pa.string()), "")
    values = pc.fill_null(values, np.nan)
    whole = pc.and_(pc.equal(pc.trunc(values), values), pc.less(pc.abs(values), _EXACT_BELOW))
    integers = pc.cast(pc.cast(pc.if_else(whole, values, 0.0), pa.int64()), pa.string())
    text = pc.if_else(whole, integers, pc.cast(values, pa.string()))
    return pc.if_else(pc.is_nan(values), "", text)


def _refuse(path: str | Path, name: str, strings: Column, pattern: str) -> None:
    at = pc.index(pc.match_substring_regex(strings, pattern), True).as_py()
    if at >= 0:
        value = strings[at].as_py()
        raise UserError(
            f"cannot write {path}: column '{name}': {value!r} is empty or contains a separator or a line break"
        )
