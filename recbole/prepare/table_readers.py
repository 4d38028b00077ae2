"""Raw tables as streams of Arrow record batches: comma-separated values, JSON lines, and 30Music's idomaar."""

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
    """Yield the record batches of a file of separated values, some 16 MiB of it at a time.

    Args:
        path: the file, plain or ``.gz``.
        types: dict from the wanted columns to their Arrow types; ``timestamp("s")`` is ``2005-04-02 23:53:47``, UTC.
        optional: columns that may lack a value; the others may not.
        names: the columns of a file that may come without a header: a first line that ends in the last name is one.
        separator: the character between values.
        quote: the character around values; ``None`` for none. A doubled one stands for itself.
        tokens: columns that may lack a value and hold tokens.
        least: the least whole number that is accepted, or None.

    Raises:
        UserError: naming file, line and column: another header, another number of values, a value of another type, or
            one that `Form` does not accept.
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
    """Return the file's column names and whether its first line holds them."""
    first = next((values for _, values in csv_rows(path, separator, quote)), None)
    if first is None:
        raise UserError(f"{path}: empty file, expected {'rows of ' if names else 'a header with '}{', '.join(types)}")
    if names is not None:
        return list(names), first[-1] == names[-1]
    for at, name in enumerate(first):
        if name in first[:at]:
            raise UserError(f"{path}:1: the column '{name}' stands there twice")
    for name in types:
        if name not in first:
            raise UserError(
                f"{path}:1: there is no column '{name}'{suggest(name, first)}; the header has {', '.join(first)}"
            )
    return first, True


def read_json_lines(path: str | Path, schema: pa.Schema, optional: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of a file with one JSON object a line, some 16 MiB of it at a time.

    Args:
        path: the file, plain or ``.gz``.
        schema: Arrow schema of the wanted fields; others are passed over.
        optional: fields that may be missing or null; the others may not.

    Raises:
        UserError: naming file and line, and what is wrong there.
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
    """Yield the record batches of an idomaar file: ``id`` and ``time`` (int64), and the linked entities' fields.

    A line holds a kind, an id, a time and two JSON objects, of properties and of linked entities. Tabs stand between
    them, save that in 30Music's sessions a space stands between the objects.

    Args:
        path: the file, plain or ``.gz``.
        schema: Arrow schema of the wanted fields of the linked entities, lists of objects: the field ``id`` of each
            must have a value, and floats are times within the session, in seconds.

    Raises:
        UserError: a line has another form; file and line are named.
    """
    linked = Form(_types(schema), tuple(schema.names))
    for batch in read_csv(path, {"line": pa.string()}, ["line"], ["line"], _NO_SEPARATOR, quote=None):
        try:
            yield _idomaar(batch["line"], linked)
        except pa.ArrowException as error:
            raise _explain_idomaar(path, linked, error) from error


def _idomaar(lines: pa.Array, form: Form) -> pa.RecordBatch:
    """Return the record batch of some lines (Arrow string array); one that is wrong is an ``ArrowInvalid``."""
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
    """Refuse linked entities without an id, or with a time that is none."""
    entities = pc.list_flatten(lists)
    for field in entities.type:
        values = pc.struct_field(entities, field.name)
        if field.name == "id" and values.null_count:
            raise pa.ArrowInvalid(f"'{name}' holds one without an id")
        if pa.types.is_floating(field.type):
            sound = pc.less(pc.abs(values), _LONGEST_TIME)  # false for NaN
            if (at := pc.index(sound, False).as_py()) >= 0:
                raise pa.ArrowInvalid(f"'{field.name}' is {values[at]}, expected seconds within the session")


def _explain_idomaar(path: str | Path, form: Form, error: Exception) -> UserError:
    """Return the `UserError` for the first line that is not of the form."""
    lines = ((number, line.rstrip("\r\n")) for number, line in numbered_text(path) if line.strip("\r\n"))
    while chunk := list(islice(lines, _AT_ONCE)):
        if not _refusal([line for _, line in chunk], form):
            continue
        for number, line in chunk:
            if refusal := _refusal([line], form):
                return UserError(f"{path}:{number}: {refusal}")
    return UserError(f"{path}: {str(error).splitlines()[0]}")


def _refusal(lines: Sequence[str], form: Form) -> str | None:
    """Return why lines of idomaar are refused, or None."""
    try:
        _idomaar(pa.array(lines, pa.string()), form)
    except pa.ArrowException as error:
        return str(error).splitlines()[0]
    return None
