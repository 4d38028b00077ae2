"""Removes extra values from the lines of atomic files that have more values than there are columns."""

import logging
from pathlib import Path

logger = logging.getLogger("recbole")


def without_surplus(path: str | Path, width: int, separator: str) -> bytes | None:
    """Return a file's content without extra values at the end of lines, and log a warning with the number of lines.

    Args:
        path: the file.
        width: the number of columns.
        separator: the character between values.

    Returns:
        The content (bytes); None if no line has too many values, or if some line has too few.
    """
    lines, mark = Path(path).read_bytes().splitlines(), separator.encode()
    longer = [number for number, line in enumerate(lines, start=1) if line.count(mark) >= width]
    if not longer or any(line.count(mark) + 1 < width for line in lines if line):
        return None
    logger.warning("%s:%d: values after the last column are ignored in %d lines", path, longer[0], len(longer))
    return b"\n".join(mark.join(line.split(mark)[:width]) for line in lines) + b"\n"
