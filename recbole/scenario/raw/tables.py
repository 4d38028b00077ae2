"""Raw tables as streams of Arrow record batches: comma-separated values, JSON lines, and 30Music's idomaar."""

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, json

from recbole.scenario.raw.files import csv_rows, explain_csv, explain_json, numbered_lines, open_stream
from recbole.utils import UserError, suggest

_BLOCK = 1 << 24
_NO_SEPARATOR = "\x1f"
_IDOMAAR = (
    r"^[^\t]*\t(?P<id>[^\t]+)\t(?P<time>-?[0-9]+)\t.*[\t ]"
    r'(?P<linked>\{"(?:subjects|objects|artists|albums|tags)":.*\})\s*$'
)


def read_csv(path, types, optional=(), names=None, separator=",", quote='"'):
    """Yield the record batches of a file of separated values, some 16 MiB of it at a time.

    Args:
        path: the file, plain or ``.gz``.
        types: dict from the wanted columns to their Arrow types; ``timestamp("s")`` is ``2005-04-02 23:53:47``, UTC.
        optional: columns that may lack a value; the others may not.
        names: the columns of a file that may come without a header: a first line that ends in the last name is one.
        separator: the character between values.
        quote: the character around values; ``False`` for none. A doubled one stands for itself.

    Raises:
        UserError: naming file, line and column: another header, another number of values, a value of another type.
    """
    names, has_header = _columns(path, types, names, separator, quote)
    required = [name for name in types if name not in optional]
    try:
        with open_stream(path) as stream:
            reader = csv.open_csv(
                stream,
                csv.ReadOptions(column_names=names, skip_rows=int(has_header), block_size=_BLOCK),
                csv.ParseOptions(
                    delimiter=separator, quote_char=quote, double_quote=bool(quote), newlines_in_values=bool(quote)
                ),
                csv.ConvertOptions(
                    include_columns=list(types), column_types=types, null_values=[""], strings_can_be_null=True
                ),
            )
            n_rows = 0
            for batch in reader:
                _complete(batch, required)
                n_rows += len(batch)
                yield batch
            if not n_rows:
                raise pa.ArrowInvalid("no rows")
    except (pa.ArrowInvalid, OSError) as error:
        raise explain_csv(path, names, has_header, types, required, separator, quote, error) from error


def _columns(path, types, names, separator, quote):
    """Return the file's column names and whether its first line holds them."""
    first = next((values for _, values in csv_rows(path, separator, quote)), None)
    if first is None:
        raise UserError(f"{path}: empty file, expected {'rows of ' if names else 'a header with '}{', '.join(types)}")
    if names is not None:
        return list(names), first[-1] == names[-1]
    for name in types:
        if name not in first:
            raise UserError(
                f"{path}:1: there is no column '{name}'{suggest(name, first)}; the header has {', '.join(first)}"
            )
    return first, True


def read_json_lines(path, schema, optional=()):
    """Yield the record batches of a file with one JSON object a line, some 16 MiB of it at a time.

    Args:
        path: the file, plain or ``.gz``.
        schema: Arrow schema of the wanted fields; others are passed over.
        optional: fields that may be missing or null; the others may not.

    Raises:
        UserError: naming file and line, and what is wrong there.
    """
    required = [name for name in schema.names if name not in optional]
    try:
        with open_stream(path) as stream:
            yield from _json_batches(stream, schema, required)
    except (pa.ArrowInvalid, OSError) as error:
        raise explain_json(path, schema, required, error) from error


def _json_batches(stream, schema, required):
    parse = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    for batch in json.open_json(stream, json.ReadOptions(block_size=_BLOCK), parse):
        _complete(batch, required)
        yield batch


def _complete(batch, required):
    """Refuse, as Arrow refuses what it cannot read, a batch that lacks a required value."""
    for name in required:
        if batch[name].null_count:
            raise pa.ArrowInvalid(f"column '{name}' lacks a value")


def read_idomaar(path, schema):
    """Yield the record batches of an idomaar file: ``id`` and ``time`` (int64), and the linked entities' fields.

    A line holds a kind, an id, a time and two JSON objects, of properties and of linked entities. Tabs stand between
    them, save that in 30Music's sessions a space stands between the objects.

    Args:
        path: the file, plain or ``.gz``.
        schema: Arrow schema of the wanted fields of the linked entities.

    Raises:
        UserError: a line has another form; file and line are named.
    """
    line_type = {"line": pa.string()}
    for batch in read_csv(path, line_type, names=["line"], separator=_NO_SEPARATOR, quote=False):
        parts = pc.extract_regex(batch["line"], _IDOMAAR)
        if parts.null_count:
            raise _not_idomaar(path)
        identity, time, linked = (pc.struct_field(parts, name) for name in ("id", "time", "linked"))
        try:
            entities = pa.Table.from_batches(_json_batches(_as_lines(linked), schema, []), schema).combine_chunks()
        except pa.ArrowInvalid as error:
            raise _not_idomaar(path, schema, error) from error
        columns = {"id": identity, "time": pc.cast(time, pa.int64())}
        for name in schema.names:
            columns[name] = entities[name].combine_chunks()
        yield pa.record_batch(columns)


def _as_lines(strings):
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(strings)], pa.int32()), strings), "\n")
    return pa.BufferReader(joined[0].as_buffer())


def _not_idomaar(path, schema=None, error=None):
    """Find the first line that is not of the form, or whose entities Arrow cannot read."""
    for number, line in numbered_lines(path):
        parts = pc.extract_regex(pa.array([line.rstrip(b"\r\n")]).cast(pa.string()), _IDOMAAR)
        form = 'kind, id, time, properties and linked entities ({"subjects":…} or {"artists":…})'
        if parts.null_count and line.strip():
            return UserError(f"{path}:{number}: expected {form}")
        if schema is not None and not parts.null_count:
            try:
                list(_json_batches(_as_lines(pc.struct_field(parts, "linked")), schema, []))
            except pa.ArrowInvalid as fault:
                return UserError(f"{path}:{number}: {str(fault).splitlines()[0]}")
    return UserError(f"{path}: {error}")
