"""Baskets from purchase rows, and their file, compared with plain Python."""

import json
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.generators.basket_files import build_baskets, keep_frequent, write_baskets

PURCHASES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40)


@given(PURCHASES)
@settings(max_examples=60, deadline=None)
def test_baskets_against_plain_python(tmp_path_factory, rows):
    """Rows are (basket, item, time).

    The user is the basket number mod 2; a basket's time is that of its earliest row.
    """
    basket, item, time = (np.array(column) for column in zip(*rows, strict=True))
    baskets = build_baskets(basket % 2, basket, item, time)
    path = tmp_path_factory.mktemp("baskets") / "x.json"
    write_baskets(path, baskets)
    expected = {}
    for number in sorted(set(basket.tolist()), key=lambda own: (min(t for b, _, t in rows if b == own), own)):
        content = list(dict.fromkeys(i for b, i, _ in rows if b == number))
        expected.setdefault(str(number % 2), []).append(content)
    assert json.loads(path.read_text()) == expected
    history = Counter(own for listed in expected.values() for content in listed[:-1] for own in content)
    frequent = {
        user: [kept for content in listed if (kept := [own for own in content if history[own] >= 2])]
        for user, listed in expected.items()
    }
    write_baskets(path, keep_frequent(baskets, 2))
    assert json.loads(path.read_text()) == {user: listed for user, listed in frequent.items() if listed}
