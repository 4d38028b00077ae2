"""Raw files, plain or compressed by gzip: finding them, opening them, and iterating over numbered lines."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from recbole.utils import UserError

_LONGEST_VALUE = 1 << 30


def find(folder: str | Path, *names: str) -> Path:
    """Return the path of a raw file, which may be plain or compressed (suffix ``.gz``) and have one of several names.

    Args:
        folder: the folder of the file.
        names: the possible names without ``.gz``, in order of preference.

    Raises:
        UserError: there is no file with any of the names.
    """
    for name in names:
        for path in (Path(folder) / name, Path(folder) / f"{name}.gz"):
            if path.is_file():
                return path
    raise UserError(f"{folder} contains no {' or '.join(names)} (plain, or as .gz)")


def open_stream(path: str | Path) -> pa.NativeFile:
    """Open a file as an Arrow stream, decompressed if its name ends in ``.gz``."""
    return pa.input_stream(str(path), compression="gzip" if Path(path).suffix == ".gz" else None)


def numbered_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Yield for each line of a file, plain or ``.gz``, its number from 1 and its bytes, with the line end.

    Raises:
        UserError: the file cannot be read, or its compressed data are truncated or damaged; the message names the line.
    """
    number = 0
    try:
        with (gzip.open if Path(path).suffix == ".gz" else open)(path, "rb") as file:
            for line in file:
                number += 1
                yield number, line
    except EOFError as error:
        raise UserError(f"{path}:{number + 1}: the compressed file is truncated here; download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}:{number + 1}: the compressed file is damaged here ({error})") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def numbered_text(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield for each line of a UTF-8 file, plain or ``.gz``, its number from 1 and its text, with the line end.

    A byte order mark at the beginning is left out.

    Raises:
        UserError: the file cannot be read, or a line is not UTF-8.
    """
    for number, line in numbered_lines(path):
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}:{number}: not UTF-8") from error


def csv_rows(path: str | Path, separator: str = ",", quote: str | None = '"') -> Iterator[tuple[int, list[str]]]:
    """Read a file of separated values row by row. This is slow: use it to read a header or to find a mistake.

    Args:
        path: the file, plain or ``.gz``.
        separator: the character between values.
        quote: the character around values; None if values are not quoted.

    Yields:
        For each row that is not empty, the number of its last line, from 1, and its values as text.

    Raises:
        UserError: the file cannot be read or parsed.
    """
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


def line_of_row(path: str | Path, row: int) -> int:
    """Return the line number, from 1, of a row of a comma-separated file with a header.

    Args:
        path: the file, plain or ``.gz``.
        row: the row's number, from 0 for the first row after the header.
    """
    return next(islice(csv_rows(path), row + 1, None))[0]


def json_objects(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield for each line of a file with one JSON object per line its number, from 1, and the object as a dict.

    Blank lines are skipped.

    Raises:
        UserError: the file cannot be read, or a line is not a JSON object.
    """
    for number, line in numbered_lines(path):
        if line.strip():
            yield number, json_object(line, f"{path}:{number}")


def json_object(line: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object and return it as a dict.

    Args:
        line: the JSON text.
        where: the file and the line number, with which the message begins.

    Raises:
        UserError: the text is not a JSON object, or a string in it contains an unpaired surrogate.
    """
    try:
        value = json.loads(line)
        if b"\\ud" in line.lower():  # escaped surrogates are valid only in pairs
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: {error.object[error.start]!r} is an unpaired surrogate") from error
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({str(error).splitlines()[0]})") from error
    except RecursionError as error:
        raise UserError(f"{where}: the JSON is nested too deeply") from error
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value
