"""The one order of tokens: for requests, for lists of items, in every task."""

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WHOLE = re.compile(r"0|[1-9][0-9]*")
_WHOLE_INT64 = r"^(0|[1-9][0-9]{0,17})$"


def order_requests(tokens: Iterable[str]) -> list[str]:
    """Return the tokens in the order in which requests are made, whatever order the file has them in.

    Ascending as integers if every token is a decimal integer without a leading zero, else by Unicode code point. ERASE
    sorts as integers or as text depending on how pandas happened to parse the file, and not alike in all its parts.

    Args:
        tokens: an iterable of str; repeated tokens are kept.

    Returns:
        list[str]: sorted.
    """
    tokens = list(tokens)
    if all(map(_WHOLE.fullmatch, tokens)):
        return sorted(tokens, key=int)
    return sorted(tokens)


def token_rank(tokens: pa.Array) -> np.ndarray:
    """Return the place (int64 [n]) of each of ``tokens`` in ascending order: as integers if all are, else by bytes.

    That is the order of :func:`order_requests`.
    """
    whole = pc.all(pc.match_substring_regex(tokens, _WHOLE_INT64)).as_py()
    order = pc.array_sort_indices(pc.cast(tokens, pa.int64()) if whole else tokens).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank
