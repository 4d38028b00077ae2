"""64-bit hashes of tokens: SipHash-2-4 (J.-P. Aumasson, D. Bernstein, INDOCRYPT 2012) with a final mixing step.

The hashes equal those of ``pandas.util.hash_array``. That function is not used, because importing pandas takes a sixth
of a second.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]

_KEY = np.frombuffer(b"0123456789123456", dtype="<u8")
_START = np.frombuffer(b"uespemosmodnarodarenegylsetybdet", dtype="<u8")
_MIX = (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)
_WORD = 8
"""Number of bytes that the hash takes in at a time."""


def token_hashes(tokens: pa.Array) -> npt.NDArray[np.int64]:
    """Return a 64-bit hash of each token's UTF-8 bytes, int64 [n].

    Args:
        tokens: Arrow string array without missing values.
    """
    text, offsets = _bytes(tokens)
    size = np.diff(offsets)
    state = np.repeat((_START ^ np.tile(_KEY, 2))[:, None], len(size), axis=1)
    longest_first = np.argsort(-size, kind="stable")
    begin, left = offsets[:-1][longest_first], size[longest_first]
    for at in range(0, int(size.max(initial=0)) // _WORD * _WORD, _WORD):
        going = np.count_nonzero(left >= at + _WORD)  # the tokens with a further whole word come first
        _absorb(state[:, :going], _words(text, begin[:going] + at))
    last = _words(text, begin + left // _WORD * _WORD)
    there = (left % _WORD * 8).astype(np.uint64)
    last &= (np.uint64(1) << there) - np.uint64(1)
    _absorb(state, last | left.astype(np.uint64) << np.uint64(56))
    state[2] ^= np.uint64(0xFF)
    _rounds(state, 4)
    found = np.empty(len(size), dtype=np.uint64)
    found[longest_first] = np.bitwise_xor.reduce(state, axis=0)
    for shift, factor in _MIX:
        found ^= found >> np.uint64(shift)
        found *= np.uint64(factor)
    return (found ^ found >> np.uint64(31)).view(np.int64)


def _bytes(tokens: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the bytes of all tokens, followed by eight zeros, and the offsets of the tokens, int64 [n + 1]."""
    tokens = tokens.cast(pa.large_string())
    _, places, text = tokens.buffers()
    offsets = np.frombuffer(places, dtype=np.int64)[tokens.offset : tokens.offset + len(tokens) + 1]
    begin, end = offsets[0], offsets[-1]
    held = np.zeros(end - begin + _WORD, dtype=np.uint8)
    if end > begin:
        held[:-_WORD] = np.frombuffer(text, dtype=np.uint8)[begin:end]
    return held, offsets - begin


def _words(text: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> Words:
    """Return the eight bytes of ``text`` from each position in ``at`` on, as a little-endian number, uint64 [n]."""
    return text[at[:, None] + np.arange(_WORD)].view("<u8").ravel()


def _absorb(state: Words, word: Words) -> None:
    """Add a word (uint64 [n]) to the hash states, uint64 [4, n], in place."""
    state[3] ^= word
    _rounds(state, 2)
    state[0] ^= word


def _rounds(state: Words, n: int) -> None:
    """Apply ``n`` SipHash rounds to the hash states, uint64 [4, n], in place."""
    v0, v1, v2, v3 = state
    steps = (v0, v1, 13), (None, v0, 32), (v2, v3, 16), (v0, v3, 21), (v2, v1, 17), (None, v2, 32)
    for _ in range(n):
        for into, turned, by in steps:
            if into is None:
                turned[:] = _turned(turned, by)
            else:
                np.add(into, turned, out=into)
                turned[:] = _turned(turned, by) ^ into


def _turned(words: Words, by: int) -> Words:
    """Return words with their bits rotated to the left by ``by`` places."""
    return words << np.uint64(by) | words >> np.uint64(64 - by)
