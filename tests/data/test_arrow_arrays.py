"""Access to the buffers of Arrow arrays, and hashes of tokens, compared with Arrow and pandas."""

import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recbole.data.arrow_arrays import filled, integers, numbers, strings
from recbole.data.token_hash import token_hashes


@pytest.mark.parametrize("texts", [[], ["a", "", "é😀"], ["a", None]])
def test_texts_equal_those_of_arrow(texts):
    assert strings(iter(texts)).equals(pa.array(texts, pa.string()))


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_integers_are_unchanged_by_a_round_trip(kind):
    values = np.arange(12, dtype=kind)[::3]
    assert integers(values).to_pylist() == values.tolist()
    assert numbers(integers(values)[1:3]).tolist() == [3, 6]


def test_chunks_of_a_column_are_combined():
    for pieces, kind in (([[1.5], [], [2.0, 4.0]], pa.float64()), ([[7, 9]], pa.int64()), ([[1.5]], pa.float32())):
        column = pa.chunked_array(pieces, kind)
        found, expected = numbers(column), column.to_numpy()
        assert found.dtype == expected.dtype and found.tolist() == expected.tolist()
    assert numbers(pa.chunked_array([], pa.int64())).tolist() == []


def test_missing_values_become_minus_one():
    found = filled(pa.array([5, None, 7], pa.int32())[1:])
    assert found.dtype == np.int32 and found.tolist() == [-1, 7]


def test_hashes_of_tokens_equal_those_of_pandas():
    draw = random.Random(1)
    lengths = [*range(26), 40, 300]
    tokens = pa.array(["".join(draw.choices("ab9é漢😀 _", k=draw.choice(lengths))) for _ in range(500)])
    expected = pd.util.hash_array(tokens.to_numpy(zero_copy_only=False), categorize=False).view(np.int64)
    np.testing.assert_array_equal(token_hashes(tokens), expected)
    np.testing.assert_array_equal(token_hashes(tokens[7:90]), expected[7:90])
    assert token_hashes(strings([])).tolist() == []
