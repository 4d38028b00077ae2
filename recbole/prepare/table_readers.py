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
    """Read columns of a file of separated values, and check the values.

    Args:
        path: the file, plain or ``.gz``.
        types: dict from the name of each column to read to its Arrow type. With ``timestamp("s")``, values such as
            ``2005-04-02 23:53:47`` are read as UTC.
        optional: names of the columns in which values may be missing.
        names: the names of all columns, for a file that may have no header. The first line counts as a header if its
            last value is the last name. None for a file with a header.
        separator: the character between values.
        quote: the character around values, which is doubled inside of them; None if values are not quoted.
        tokens: names of the optional string columns in which all values that are there must be tokens, see `Form`.
        least: the smallest valid integer; None for no limit.

    Yields:
        Arrow record batches with the columns in ``types``, each from about 16 MiB of text.

    Raises:
        UserError: a column is missing, a line has a wrong number of values, or a value has a wrong type or is not valid
            according to `Form`; the message names file, line and column.
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
    """Return the names of all columns of a file, and whether its first line is a header.

    Args:
        path: the file.
        types: names of the columns to read.
        names, separator, quote: as for :func:`read_csv`.

    Raises:
        UserError: the file is empty, or a column is missing or occurs twice in the header.
    """
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
    """Read fields of a file with one JSON object per line, and check the values.

    Args:
        path: the file, plain or ``.gz``.
        schema: the names and Arrow types of the fields to read; other fields are ignored.
        optional: names of the fields that may be missing or null.

    Yields:
        Arrow record batches with these fields as columns, each from about 16 MiB of text.

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
    """Read a file in the idomaar format, which is the format of the data set 30Music.

    A line describes one entity, such as a session. It consists of the entity's kind, its id, a time and two JSON
    objects: the entity's properties, and other entities that it is linked to, such as the user and the tracks of a
    session. The parts are separated by tabs; in 30Music's sessions, the two objects are separated by a space.

    Args:
        path: the file, plain or ``.gz``.
        schema: the keys of the second object to read, such as ``subjects``, with their Arrow types: lists of objects.
            The field ``id`` of each of these objects is required. Their float fields are times within the session, in
            seconds.

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
    """Parse lines of an idomaar file.

    Args:
        lines: Arrow string array.
        form: the keys of linked entities to read, and which values are valid.

    Returns:
        A record batch as :func:`read_idomaar` yields it.

    Raises:
        pa.ArrowInvalid: a line is malformed.
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
    """Check the linked entities of some lines, as :func:`read_idomaar` describes them.

    Args:
        name: their key, such as ``subjects``, for the message.
        lists: Arrow array with a list of objects for each line.

    Raises:
        pa.ArrowInvalid: an object has no id, or a time that is not finite or is beyond 2^31 seconds.
    """
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
    """Return the `UserError` to raise for an idomaar file with a malformed line, naming the first such line.

    Args:
        path: the file.
        form: the keys of linked entities to read, and which values are valid.
        error: the exception of Arrow; its text is used if no single line is found to be malformed.
    """
    lines = ((number, line.rstrip("\r\n")) for number, line in numbered_text(path) if line.strip("\r\n"))
    while chunk := list(islice(lines, _AT_ONCE)):
        if not _refusal([line for _, line in chunk], form):
            continue
        for number, line in chunk:
            if refusal := _refusal([line], form):
                return UserError(f"{path}:{number}: {refusal}")
    return UserError(f"{path}: {str(error).splitlines()[0]}")


def _refusal(lines: Sequence[str], form: Form) -> str | None:
    """Return the reason why some lines of an idomaar file are malformed, or None if they are not."""
    try:
        _idomaar(pa.array(lines, pa.string()), form)
    except pa.ArrowException as error:
        return str(error).splitlines()[0]
    return None
