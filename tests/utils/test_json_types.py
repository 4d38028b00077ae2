"""Types of JSON values: what each accepts, and how a fault is described."""

import math

import pytest

from recbole.utils.json_types import anything, list_of, nullable, number, object_of, object_with, one_of, text, whole

SHAPE = object_with({"name": text, "rows": nullable(list_of(object_of(number), "row"))}, needed=("name",))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (text, ["", "ü", "a\nb"], [None, 5, True, [], "\ud800"]),
        (number, [0, -1, 2.5, 1e308, 2**63 - 1], [None, True, "5", math.inf, -math.inf, math.nan, 2**63, 10**400]),
        (whole(1), [1, 2**63 - 1], [0, -1, 1.0, True, None, 2**63, "1"]),
        (one_of(True, "unknown", None), [True, "unknown", None], [False, 1, "true", [], {}]),
        (nullable(text), [None, "x"], [5]),
        (list_of(text), [[], ["x"]], [None, "x", {}, [5]]),
        (object_of(whole(0)), [{}, {"x": 0}], [None, [], {"x": -1}, {"\ud800": 0}]),
        (
            SHAPE,
            [{"name": "x"}, {"name": "x", "rows": None, "more": [{}]}],
            [{}, {"name": 5}, [], {"name": "", "rows": [5]}],
        ),
        (anything, [None, 10**400, math.nan, [[{"x": [True]}]]], ["\ud800", [{"x": "\ud800"}], {"\ud800": 1}]),
    ],
)
def test_each_type_accepts_its_values_alone(kind, good, bad):
    assert [value for value in good if kind(value)] == []
    assert [value for value in bad if not kind(value)] == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({}, "name is missing"),
        ({"name": None}, "name is null, but should be a text"),
        ({"name": "", "rows": 5}, "rows is 5, but should be a list, or null"),
        ({"name": "", "rows": [{}, []]}, "row 2 in rows is a list, but should be an object"),
        (
            {"name": "", "rows": [{"k": "x" * 99}]},
            f'k in row 1 in rows is "{"x" * 56}..., but should be a finite number',
        ),
        ({"name": "", "more": ["", "\ud800"]}, 'entry 2 in more is "\ud800", but should be valid Unicode'),
    ],
)
def test_a_fault_says_where_it_is_and_what_would_be_right(value, told):
    assert str(SHAPE(value)) == told


def test_what_is_nested_too_deeply_to_be_written_again_is_a_fault():
    value = []
    for _ in range(99):
        value = [value]
    assert anything(value) is None
    for _ in range(400):
        value = [value]
    assert "is nested too deeply" in str(anything(value))
