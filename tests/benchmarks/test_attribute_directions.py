"""`benchmarks/attribute_directions.py`: in which directions of the user embeddings an attribute is found."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from recbole.audit.audited import everybody
from recbole.data.attributes import UserAttribute
from recbole.utils import stream

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("direction", ["first", "others"])
def test_an_attribute_is_found_in_the_directions_that_hold_it(monkeypatch, direction):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = importlib.import_module("attribute_directions")
    draw = stream(2, "directions")
    label = draw.integers(0, 2, 301)
    label[0] = -1
    columns = draw.normal(size=(301, 6)) * [9, 8, 7, 0.1, 0.1, 0.1]
    at = {"first": 1, "others": 4}[direction]
    columns[:, at] += label * columns[:, at].std() * 4
    turned, _ = np.linalg.qr(draw.normal(size=(6, 6)))
    share, parts = script.split(columns @ turned, 3)
    found = script.aucs(everybody(UserAttribute("gender", ("F", "M"), label)), parts)
    other = "others" if direction == "first" else "first"
    assert share > 0.99 and found[direction] > 0.9 and found[other] < 0.65
