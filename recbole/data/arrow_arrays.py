"""Convert between Python or NumPy values and Arrow arrays through their memory buffers.

The functions avoid ``pa.array`` and ``to_numpy``, whose first call imports pandas, which takes a sixth of a second.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa


def strings(texts: Iterable[str | None]) -> pa.Array:
    """Return texts as an Arrow string array; ``None`` becomes null."""
    texts = list(texts)
    if None in texts:
        return pa.array(texts, pa.string())
    pieces = [text.encode() for text in texts if text is not None]
    offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces], dtype=np.int64)]).astype(np.int64)
    buffers = pa.py_buffer(offsets), pa.py_buffer(b"".join(pieces))
    return pa.LargeStringArray.from_buffers(len(pieces), *buffers).cast(pa.string())


def integers(values: np.ndarray) -> pa.Array:
    """Return a NumPy array of integers [n] as an Arrow int64 array."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values, np.int64))])


def filled(places: pa.Array) -> np.ndarray:
    """Return an Arrow integer array as a read-only NumPy array [n] of the same integer type, with -1 for null."""
    if places.null_count:
        places = places.fill_null(integers(np.array([-1])).cast(places.type)[0])
    return numbers(places)


def numbers(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return an Arrow column of integers or floats without nulls as a NumPy array [n], which may be read-only."""
    kind = np.dtype(column.type.to_pandas_dtype())
    pieces = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    some = [piece for piece in pieces if len(piece)]
    found = [np.frombuffer(one.buffers()[1], kind, len(one), one.offset * kind.itemsize) for one in some]
    return found[0] if len(found) == 1 else np.concatenate([np.empty(0, kind), *found])
