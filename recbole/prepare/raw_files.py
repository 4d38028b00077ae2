"""Raw files, plain or compressed by gzip: finding them, opening them, and going through their lines with numbers."""

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
    """Return the path of the first of these files that the folder has, as it stands or with ``.gz`` after its name.

    Raises:
        UserError: it has none of them.
    """
    for name in names:
        for path in (Path(folder) / name, Path(folder) / f"{name}.gz"):
            if path.is_file():
                return path
    raise UserError(f"{folder} holds no {' or '.join(names)} (plain, or as .gz)")


def open_stream(path: str | Path) -> pa.NativeFile:
    """Open a file for Arrow, decompressed if its name ends in ``.gz``."""
    return pa.input_stream(str(path), compression="gzip" if Path(path).suffix == ".gz" else None)


def numbered_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
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


def numbered_text(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line as str without a byte order mark); what is not UTF-8 is a `UserError`."""
    for number, line in numbered_lines(path):
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}:{number}: not UTF-8") from error


def csv_rows(path: str | Path, separator: str = ",", quote: str | None = '"') -> Iterator[tuple[int, list[str]]]:
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


def line_of_row(path: str | Path, row: int) -> int:
    """Return the number of the line of a row (from 0) below the header of a comma-separated file."""
    return next(islice(csv_rows(path), row + 1, None))[0]


def json_objects(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number of the line, dict) of a file with one JSON object a line; blank lines are passed over.

    Raises:
        UserError: a line holds something else.
    """
    for number, line in numbered_lines(path):
        if line.strip():
            yield number, json_object(line, f"{path}:{number}")


def json_object(line: bytes, where: str) -> dict[str, Any]:
    """Return the dict that a line (bytes) holds.

    Raises:
        UserError: it holds something else, or text that is none; ``where`` begins the message.
    """
    try:
        value = json.loads(line)
        if b"\\ud" in line.lower():  # the escape of half a character: fine in pairs only
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: {error.object[error.start]!r} is half a character") from error
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({str(error).splitlines()[0]})") from error
    except RecursionError as error:
        raise UserError(f"{where}: JSON that is nested too deeply") from error
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value
