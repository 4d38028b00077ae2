"""Raw files, plain or compressed by gzip: finding them, opening them, and saying at which line they are wrong."""

import csv
import gzip
import json
import re
import zlib
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from recbole.utils import UserError

_LONGEST_VALUE = 1 << 30
_INTEGER = re.compile(r"\s*[+-]?\d+\s*")


def find(folder, *names):
    """Return the path of the first of these files that the folder has, as it stands or with ``.gz`` after its name.

    Raises:
        UserError: it has none of them.
    """
    for name in names:
        for path in (Path(folder) / name, Path(folder) / f"{name}.gz"):
            if path.is_file():
                return path
    raise UserError(f"{folder} holds no {' or '.join(names)} (plain, or as .gz)")


def open_stream(path):
    """Open a file for Arrow, decompressed if its name ends in ``.gz``."""
    return pa.input_stream(str(path), compression="gzip" if Path(path).suffix == ".gz" else None)


def numbered_lines(path):
    """Yield (number from 1, line as bytes with its end).

    Raises:
        UserError: the file cannot be read, or its compressed data are cut off or damaged; the line is named.
    """
    number = 0
    try:
        with (gzip.open if Path(path).suffix == ".gz" else open)(path, "rb") as file:
            for line in file:
                number += 1
                yield number, line
    except EOFError as error:
        raise UserError(f"{path}:{number + 1}: the compressed file is cut off here; fetch it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}:{number + 1}: the compressed file is damaged here ({error})") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def numbered_text(path):
    """Yield (number from 1, line as str without a byte order mark); what is not UTF-8 is a `UserError`."""
    for number, line in numbered_lines(path):
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}:{number}: not UTF-8") from error


def csv_rows(path, separator, quote):
    """Yield (number of the row's last line, values): slow, for looking at a header or for a mistake."""
    csv.field_size_limit(_LONGEST_VALUE)
    quoting = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    rows = csv.reader((line for _, line in numbered_text(path)), delimiter=separator, **quoting)
    while True:
        try:
            values = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(f"{path}:{rows.line_num}: not comma-separated values ({error})") from error
        if values:
            yield rows.line_num, values


def explain_csv(path, names, has_header, types, required, separator, quote, error):
    """Return the `UserError` for what Arrow could not read: the first line that is wrong, and how."""
    n_rows = 0
    for at, (line, values) in enumerate(csv_rows(path, separator, quote)):
        if at == 0 and has_header:
            continue
        n_rows += 1
        if len(values) != len(names):
            return UserError(f"{path}:{line}: expected {len(names)} values, found {len(values)}")
        for name, value in zip(names, values, strict=True):
            if name in types and (fault := _fault(value, types[name], name in required)):
                return UserError(f"{path}:{line}: column '{name}': {fault}")
    return UserError(f"{path}: {str(error).splitlines()[0]}" if n_rows else f"{path}: no rows")


def _fault(value, kind, required):
    if value == "":
        return "there is no value" if required else None
    try:
        if pa.types.is_integer(kind) and not _INTEGER.fullmatch(value):
            return f"'{value}' is not a whole number"
        if pa.types.is_floating(kind):
            float(value)
        if pa.types.is_timestamp(kind):
            datetime.fromisoformat(value)
    except ValueError:
        return f"'{value}' is not a {'time' if pa.types.is_timestamp(kind) else 'number'}"
    return None


def explain_json(path, schema, required, error):
    """Return the `UserError` for what Arrow could not read: the first line that is wrong, and how."""
    for line, value in json_objects(path):
        for field in schema:
            if field.name in required and value.get(field.name) is None:
                return UserError(f"{path}:{line}: there is no '{field.name}'")
            try:
                pa.array([value.get(field.name)], field.type)
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                found = json.dumps(value[field.name])[:40]
                return UserError(f"{path}:{line}: '{field.name}' is {found}, expected {field.type}")
    return UserError(f"{path}: {str(error).splitlines()[0]}")


def json_objects(path):
    """Yield (number of the line, dict) of a file with one JSON object a line; blank lines are passed over.

    Raises:
        UserError: a line holds something else.
    """
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: not JSON ({str(error).splitlines()[0]})") from error
        if not isinstance(value, dict):
            raise UserError(f"{path}:{number}: expected a JSON object, found {type(value).__name__}")
        yield number, value
