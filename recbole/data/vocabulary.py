"""Tokens (the strings that identify users, items and so on in the files) and their integer ids."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recbole.data.arrow_arrays import filled, integers, strings
from recbole.data.token_hash import token_hashes
from recbole.utils import UserError

PADDING = "[PAD]"


class Vocabulary:
    """The tokens of one field, such as users, and their ids. Id 0 is the padding ``[PAD]``; tokens have ids from 1 on.

    Args:
        tokens: Arrow string array of distinct tokens, without the padding, in the order of their ids.
    """

    def __init__(self, tokens: pa.Array | pa.ChunkedArray) -> None:
        self.token_array = pa.concat_arrays([strings([PADDING]), tokens.cast(pa.string())])

    def __len__(self) -> int:
        return len(self.token_array)

    def extended(self, tokens: pa.Array) -> "Vocabulary":
        """Return a vocabulary with further distinct tokens (Arrow string array) after those of this one."""
        return Vocabulary(pa.concat_arrays([self.token_array[1:], tokens.cast(pa.string())]))

    def ids(self, tokens: Iterable[str]) -> np.ndarray:
        """Return the ids (int64) of a sequence of tokens (str); -1 where a token is unknown."""
        return filled(pc.index_in(strings(tokens), value_set=self.token_array)).astype(np.int64)

    @cached_property
    def hashes(self) -> np.ndarray:
        """64-bit hash of each token, int64 [n_ids], in the order of ids; equal tokens always have equal hashes."""
        return token_hashes(self.token_array)

    def tokens(self, ids: npt.ArrayLike) -> np.ndarray:
        """Return the tokens of an array of ids, as an object array of the same shape."""
        ids = np.asarray(ids, dtype=np.int64)
        return self.token_array.take(integers(ids.ravel())).to_numpy(zero_copy_only=False).reshape(ids.shape)


def number_tokens(
    codes: np.ndarray, dictionary: pa.Array, extra: pa.Array | None = None
) -> tuple[np.ndarray, Vocabulary]:
    """Map the tokens of a column to ids, numbered in the order in which they first appear in the column, as in RecBole.

    Args:
        codes: int array [n], for each row of the column the index of its token in ``dictionary``; none is missing.
        dictionary: Arrow string array of distinct tokens; those that no row has get no id.
        extra: Arrow string array of tokens of a ``.user`` or ``.item`` file. Those that are not in the column are
            numbered after the others.

    Returns:
        ``(ids, vocabulary)``: the id of each row's token, int32 [n] from 1, and the :class:`Vocabulary`.

    Raises:
        UserError: a token is ``[PAD]``, which is reserved for the padding.
    """
    first = np.full(len(dictionary), len(codes), dtype=np.int32)
    backwards = np.arange(len(codes) - 1, -1, -1, dtype=np.int32)
    first[codes[::-1]] = backwards  # the last write wins: the first appearance
    appeared = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(codes))]
    numbers = np.zeros(len(dictionary), dtype=np.int32)
    numbers[appeared] = np.arange(1, len(appeared) + 1)
    tokens = dictionary.take(integers(appeared))
    if extra is not None and len(extra):
        both = pa.chunked_array([tokens, extra.cast(tokens.type)])
        tokens = both.unique()
    if PADDING in tokens.filter(pc.starts_with(tokens, PADDING)).to_pylist():  # an Arrow scalar would import pandas
        raise UserError(f"the data contain the token {PADDING}, which is reserved for padding: rename it")
    return numbers[codes], Vocabulary(tokens)
