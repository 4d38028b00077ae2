"""Reading raw tables as streams of Arrow record batches: separated values, JSON lines, and 30Music's idomaar format."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from recbole.prepare.column_checks import Form, explain_csv, explain_json, json_batches
from recbole.prepare.raw_files import csv_rows, numbered_text, open_stream
from recbole.utils import UserError, suggest

_BLOCK = 1 << 24
_AT_ONCE = 1 << 12
_NO_SEPARATOR = "\x1f"
_IDOMAAR = (
    r"^[^\t]*\t(?P<id>[^\t]+)\t(?P<time>-?[0-9]{1,15})\t.*[\t ]"
    r'(?P<linked>\{"(?:subjects|objects|artists|albums|tags)":.*\})\s*$'
)
_IDOMAAR_FORM = (
    'expected kind, id, time (at most 15 digits), properties and linked entities ({"subjects":…} or {"artists":…})'
)
_LONGEST_TIME = 2.0**31


def read_csv(
    path: str | Path,
    types: dict[str, pa.DataType],
    optional: Sequence[str] = (),
    names: Sequence[str] | None = None,
    separator: str = ",",
    quote: str | None = '"',
    tokens: Sequence[str] = (),
    least: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of a file of separated values, each from about 16 MiB of text.

    Args:
        path: the file, plain or ``.gz``.
        types: dict from the columns to read to their Arrow types; ``timestamp("s")`` reads ``2005-04-02 23:53:47``,
            UTC.
        optional: names of the columns that may have missing values.
        names: the names of all columns, for a file that may have no header. The first line counts as a header if its
            last value is the last name. None for a file with a header.
        separator: the character between values.
        quote: the character around values, doubled within them; None if values are not quoted.
        tokens: names of the optional string columns whose other values must be tokens, see `Form`.
        least: the smallest integer that is accepted; None for no limit.

    Raises:
        UserError: a column is missing, a line has a wrong number of values, or a value has a wrong type or violates
            `Form`; the message names file, line and column.
    """
    names, has_header = _columns(path, types, names, separator, quote)
    form = Form(types, tuple(optional), tuple(tokens), least)
    try:
        with open_stream(path) as stream:
            reader = csv.open_csv(
                stream,
                csv.ReadOptions(column_names=names, skip_rows=int(has_header), block_size=_BLOCK),
                csv.ParseOptions(
                    delimiter=separator,
                    quote_char=quote or False,
                    double_quote=bool(quote),
                    newlines_in_values=bool(quote),
                ),
                csv.ConvertOptions(
                    include_columns=list(types), column_types=types, null_values=[""], strings_can_be_null=True
                ),
            )
            n_rows = 0
            for batch in reader:
                form.check(batch)
                n_rows += len(batch)
                yield batch
            if not n_rows:
                raise pa.ArrowInvalid("no rows")
    except (pa.ArrowException, OSError) as error:
        raise explain_csv(path, names, has_header, form, separator, quote, error) from error


def _columns(
    path: str | Path, types: Iterable[str], names: Sequence[str] | None, separator: str, quote: str | None
) -> tuple[list[str], bool]:
    """Return the names of the file's columns, and whether its first line is a header."""
    first = next((values for _, values in csv_rows(path, separator, quote)), None)
    if first is None:
        raise UserError(f"{path}: empty file, expected {'rows of ' if names else 'a header with '}{', '.join(types)}")
    if names is not None:
        return list(names), first[-1] == names[-1]
    for at, name in enumerate(first):
        if name in first[:at]:
            raise UserError(f"{path}:1: the column '{name}' occurs twice in the header")
    for name in types:
        if name not in first:
            raise UserError(
                f"{path}:1: there is no column '{name}'{suggest(name, first)}; the header has {', '.join(first)}"
            )
    return first, True


def read_json_lines(path: str | Path, schema: pa.Schema, optional: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of a file with one JSON object per line, each from about 16 MiB of text.

    Args:
        path: the file, plain or ``.gz``.
        schema: Arrow schema of the fields to read; other fields are ignored.
        optional: names of the fields that may be missing or null.

    Raises:
        UserError: the file cannot be read, or a line is not a JSON object with valid fields; the message names the
            line.
    """
    form = Form(_types(schema), tuple(optional))
    try:
        with open_stream(path) as stream:
            yield from json_batches(stream, form)
    except (pa.ArrowException, OSError) as error:
        raise explain_json(path, form, error) from error


def _types(schema: pa.Schema) -> dict[str, pa.DataType]:
    return dict(zip(schema.names, schema.types, strict=True))


def read_idomaar(path: str | Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of an idomaar file, the format of the 30Music data set.

    A line consists of a kind, an id, a time and two JSON objects: properties and linked entities, such as the user and
    the tracks of a session. They are separated by tabs; in 30Music's sessions, the two objects are separated by a
    space.

    Args:
        path: the file, plain or ``.gz``.
        schema: Arrow schema of the linked entities to read, each a list of objects. The field ``id`` of an object is
            required. Float fields are times within the session, in seconds.

    Yields:
        Record batches with the columns ``id`` (string), ``time`` (int64) and those of ``schema``.

    Raises:
        UserError: a line is malformed; the message names the line.
    """
    linked = Form(_types(schema), tuple(schema.names))
    for batch in read_csv(path, {"line": pa.string()}, ["line"], ["line"], _NO_SEPARATOR, quote=None):
        try:
            yield _idomaar(batch["line"], linked)
        except pa.ArrowException as error:
            raise _explain_idomaar(path, linked, error) from error


def _idomaar(lines: pa.Array, form: Form) -> pa.RecordBatch:
    """Parse lines (Arrow string array) and return their record batch.

    Raises:
        ArrowInvalid: a line is malformed.
    """
    parts = pc.extract_regex(lines, _IDOMAAR)
    if parts.null_count:
        raise pa.ArrowInvalid(_IDOMAAR_FORM)
    identity, time, linked = (pc.struct_field(parts, name) for name in ("id", "time", "linked"))
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(linked)], pa.int32()), linked), "\n")
    stream = pa.BufferReader(joined[0].as_buffer())
    entities = pa.Table.from_batches(json_batches(stream, form), pa.schema(form.types)).combine_chunks()
    columns = {"id": identity, "time": pc.cast(time, pa.int64())}
    for name in form.types:
        columns[name] = entities[name].combine_chunks()
        _check_linked(name, columns[name])
    return pa.record_batch(columns)


def _check_linked(name: str, lists: pa.ListArray) -> None:
    """Raise ``pa.ArrowInvalid`` if a linked entity has no id, or a time that is not finite or beyond 2^31 seconds."""
    entities = pc.list_flatten(lists)
    for field in entities.type:
        values = pc.struct_field(entities, field.name)
        if field.name == "id" and values.null_count:
            raise pa.ArrowInvalid(f"'{name}' contains an entity without an id")
        if pa.types.is_floating(field.type):
            sound = pc.less(pc.abs(values), _LONGEST_TIME)  # false for NaN
            if (at := pc.index(sound, False).as_py()) >= 0:
                raise pa.ArrowInvalid(f"'{field.name}' is {values[at]}, expected seconds within the session")


def _explain_idomaar(path: str | Path, form: Form, error: Exception) -> UserError:
    """Return the `UserError` that names the first malformed line; if no line is, it has the text of ``error``."""
    lines = ((number, line.rstrip("\r\n")) for number, line in numbered_text(path) if line.strip("\r\n"))
    while chunk := list(islice(lines, _AT_ONCE)):
        if not _refusal([line for _, line in chunk], form):
            continue
        for number, line in chunk:
            if refusal := _refusal([line], form):
                return UserError(f"{path}:{number}: {refusal}")
    return UserError(f"{path}: {str(error).splitlines()[0]}")


def _refusal(lines: Sequence[str], form: Form) -> str | None:
    """Return the reason why lines of an idomaar file are invalid, or None if they are valid."""
    try:
        _idomaar(pa.array(lines, pa.string()), form)
    except pa.ArrowException as error:
        return str(error).splitlines()[0]
    return None
