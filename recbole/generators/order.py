"""The order in which tokens are sorted, the same for requests and lists of items in all tasks."""

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WHOLE = re.compile(r"0|[1-9][0-9]*")
_WHOLE_INT64 = r"^(0|[1-9][0-9]{0,17})$"


def order_requests(tokens: Iterable[str]) -> list[str]:
    """Sort the tokens of requesting users; this is the order of their requests, whatever their order in a file.

    If every token is a decimal integer without a leading zero, they are sorted as integers, else by Unicode code point.
    ERASE sorts them as integers or as text, depending on how pandas parsed the file.

    Args:
        tokens: strings; repeated tokens are kept.

    Returns:
        list[str]: sorted.
    """
    tokens = list(tokens)
    if all(map(_WHOLE.fullmatch, tokens)):
        return sorted(tokens, key=int)
    return sorted(tokens)


def token_rank(tokens: pa.Array) -> np.ndarray:
    """Return the index (int64 [n]) that each of n distinct tokens has when all are sorted.

    The order is that of :func:`order_requests`: by integer value if all tokens are decimal integers of at most 18
    digits without a leading zero, else by UTF-8 bytes.
    """
    whole = pc.all(pc.match_substring_regex(tokens, _WHOLE_INT64)).as_py()
    order = pc.array_sort_indices(pc.cast(tokens, pa.int64()) if whole else tokens).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank
