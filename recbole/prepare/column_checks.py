"""Checks the values in raw files, with error messages that name the first invalid line.

Arrow's parsers and vectorised checks test whole blocks of a file at once. If a block has an invalid value, the file is
read again with the same parsers and checks, in ever smaller parts, to find the first invalid line.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from pyarrow import json as arrow_json

from recbole.prepare.raw_files import csv_rows, json_object, numbered_lines
from recbole.utils import UserError

_BLOCK = 1 << 24
_AT_ONCE = 1 << 12
_NO_TOKEN = "^$|[\t\r\n]"
_SHOWN = 40


@dataclass(frozen=True)
class Form:
    """The columns (in JSON: fields) to read from a file, and which values are valid.

    A token is a text that is not empty and contains neither a tab nor a line break. The strings in columns that are not
    optional must be tokens.

    Attributes:
        types: dict from the name of each column to read to its Arrow type. Floats must be finite.
        optional: names of the columns in which values may be missing.
        tokens: names of the optional string columns in which all values that are not missing must be tokens.
        least: the smallest valid integer, for all integer columns; None for no limit.
    """

    types: dict[str, pa.DataType]
    optional: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    least: int | None = None

    def fault(self, name: str, column: pa.Array) -> str | None:
        """Return a message about an invalid value of a column, or None if all values are valid.

        Args:
            name: the column's name.
            column: its values, an Arrow array of the type in :attr:`types`.
        """
        kind = column.type
        required = name not in self.optional
        if required and column.null_count:
            return "the value is missing"
        token = pa.types.is_string(kind) and (required or name in self.tokens)
        if token and (bad := _first(column, pc.match_substring_regex(column, _NO_TOKEN))):
            return f"{bad[0]!r} contains a tab or a line break" if bad[0] else "the value is missing"
        if pa.types.is_floating(kind) and (bad := _first(column, pc.invert(pc.is_finite(column)))):
            return f"{bad[0]} is not a finite number"
        if (
            self.least is not None
            and pa.types.is_integer(kind)
            and (bad := _first(column, pc.less(column, self.least)))
        ):
            return f"{bad[0]} is less than {self.least}"
        return None

    def check(self, batch: pa.RecordBatch) -> None:
        """Check the values of a record batch.

        Raises:
            pa.ArrowInvalid: a value is invalid. Arrow's own parsers raise the same exception.
        """
        for name in self.types:
            if fault := self.fault(name, batch[name]):
                raise pa.ArrowInvalid(f"column '{name}': {fault}")


def _first(column: pa.Array, bad: pa.Array) -> list[Any]:
    """Return a list with the first value of ``column`` for which ``bad`` (bool Arrow array) is true; empty if none."""
    at = pc.index(bad, True).as_py()
    return [column[at].as_py()] if at >= 0 else []


def explain_csv(
    path: str | Path,
    names: Sequence[str],
    has_header: bool,
    form: Form,
    separator: str,
    quote: str | None,
    error: Exception,
) -> UserError:
    """Return the `UserError` to raise for a file of separated values with an invalid value, naming the first such line.

    Args:
        path: the file, plain or ``.gz``.
        names: the names of all columns of the file.
        has_header: whether the first line is a header.
        form: the columns that were to be read.
        separator: the character between values.
        quote: the character around values; None if values are not quoted.
        error: the exception of Arrow or of `Form.check`; its text is used if no single line is found to be invalid.
    """
    rows = csv_rows(path, separator, quote)
    if has_header:
        next(rows)
    n_rows = 0
    while chunk := list(islice(rows, _AT_ONCE)):
        n_rows += len(chunk)
        if not _fault_of_rows([values for _, values in chunk], names, form):
            continue
        for line, values in chunk:
            if fault := _fault_of_rows([values], names, form):
                return UserError(f"{path}:{line}: {fault}")
    return UserError(f"{path}: {str(error).splitlines()[0]}" if n_rows else f"{path}: no rows")


def _fault_of_rows(rows: Sequence[Sequence[str]], names: Sequence[str], form: Form) -> str | None:
    """Return a message about an invalid value or row, or None if all rows are valid.

    If the values of a column cannot be converted to its type, the message shows the first of them, which need not be
    the invalid one. With a single row the message is exact.

    Args:
        rows: the values of each row, as text.
        names: the names of all columns.
        form: the columns to check, and which values are valid.
    """
    for values in rows:
        if len(values) != len(names):
            return f"expected {len(names)} values, found {len(values)}"
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        if name in form.types and (fault := _fault_of_cells(column, name, form)):
            return f"column '{name}': {fault}"
    return None


def _fault_of_cells(cells: Sequence[str], name: str, form: Form) -> str | None:
    """Return a message about an invalid value of a column, or None if all are valid.

    Args:
        cells: the values, as text.
        name: the column's name.
        form: the columns' types, and which values are valid.
    """
    quoted = "".join('"' + cell.replace('"', '""') + '"\n' for cell in cells)
    kind = form.types[name]
    try:
        table = csv.read_csv(
            io.BytesIO(quoted.encode()),
            csv.ReadOptions(column_names=[name]),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(column_types={name: kind}, null_values=[""], strings_can_be_null=True),
        )
    except pa.ArrowException:
        return f"'{cells[0][:_SHOWN]}' is not a {_expected(kind)}"
    return form.fault(name, table[name].combine_chunks())


def _expected(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "time such as 2005-04-02 23:53:47"
    if pa.types.is_integer(kind):
        return "whole number (of at most 18 digits, without a +)"
    return "number"


def json_batches(stream: BinaryIO | pa.NativeFile, form: Form) -> Iterator[pa.RecordBatch]:
    """Parse a stream with one JSON object per line.

    Args:
        stream: the text, as bytes.
        form: the fields to read, and which values are valid; other fields are ignored.

    Yields:
        Record batches with these fields as columns.

    Raises:
        pa.ArrowInvalid: a line is malformed, or a value is invalid.
    """
    parse = arrow_json.ParseOptions(explicit_schema=pa.schema(form.types), unexpected_field_behavior="ignore")
    for batch in arrow_json.open_json(stream, arrow_json.ReadOptions(block_size=_BLOCK), parse):
        form.check(batch)
        yield batch


def explain_json(path: str | Path, form: Form, error: Exception) -> UserError:
    """Return the `UserError` to raise for a file of JSON lines with an invalid value, naming the first such line.

    Args:
        path: the file, plain or ``.gz``.
        form: the fields that were to be read.
        error: the exception of Arrow or of `Form.check`; its text is used if no single line is found to be invalid.
    """
    lines = numbered_lines(path)
    while chunk := list(islice(lines, _AT_ONCE)):
        if not _refusal(b"".join(line for _, line in chunk), form):
            continue
        for number, line in chunk:
            if line.strip() and (refusal := _refusal(line, form)):
                return UserError(
                    f"{path}:{number}: {_fault_of_object(json_object(line, f'{path}:{number}'), form) or refusal}"
                )
    return UserError(f"{path}: {_plain(error)}")


def _fault_of_object(value: dict[str, Any], form: Form) -> str | None:
    """Return a message about the first invalid field of a JSON object; None if all fields in ``form`` are valid."""
    for name, kind in form.types.items():
        found = value.get(name)
        if found is None and name not in form.optional:
            return f"'{name}' is missing"
        text = json.dumps({name: found})
        if refusal := _refusal(text.encode(), replace(form, types={name: kind})):
            own = refusal.startswith(f"column '{name}'")
            return refusal if own else f"'{name}' is {json.dumps(found)[:_SHOWN]}, expected {kind}"
    return None


def _refusal(content: bytes, form: Form) -> str | None:
    """Return the reason why some lines are invalid, or None if they are valid.

    Args:
        content: the lines, one JSON object each.
        form: the fields to read, and which values are valid.
    """
    try:
        for _ in json_batches(io.BytesIO(content), form):
            pass
    except pa.ArrowException as error:
        return _plain(error)
    return None


def _plain(error: Exception) -> str:
    return str(error).splitlines()[0].removesuffix(" in row 0")
