"""The order of tokens that all generators use."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.generators.order import order_requests, token_rank


@given(st.lists(st.one_of(st.integers(0, 200).map(str), st.text("ab0é𝒳", min_size=1, max_size=3)), unique=True))
@settings(max_examples=60, deadline=None)
def test_rank_equals_the_order_of_requests(tokens):
    rank = token_rank(pa.array(tokens, pa.string()))
    assert [tokens[at] for at in np.argsort(rank)] == order_requests(tokens)
