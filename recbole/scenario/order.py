"""The one order of tokens: for requests, for lists of items, in every task."""

import re

_WHOLE = re.compile(r"0|[1-9][0-9]*")


def order_requests(tokens):
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
