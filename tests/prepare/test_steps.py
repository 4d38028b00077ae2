"""The command line of the preparations, and categories of sensitive items."""

import sys

import pyarrow as pa
import pytest

from recbole.prepare import steps
from recbole.prepare.program import run
from recbole.utils import UserError

NO_SEED = "--seed should be an integer from 0 to 2^63 - 1, not"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--seed", "-1"), f"error: {NO_SEED} -1"),
        (("--seed", "9" * 26), f"error: {NO_SEED} {'9' * 26}"),
        (("--seed", "x"), "prepare.py: argument --seed: invalid int value: 'x'"),
    ],
)
def test_an_invalid_command_line_gives_a_one_line_error(tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.setattr(sys, "argv", ["prepare.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        run(lambda: steps.command_line("", tmp_path, "files"))
    assert (ended.value.code, capsys.readouterr().err) == (2, f"{told}\n")


def test_a_category_without_items_of_the_data_is_rejected():
    items = pa.array(["1", "2"])
    assert steps.shared_items({"c": pa.array(["2", "3"])}, items, "rules") == {"c": ["2"]}
    with pytest.raises(UserError, match="category 'c': none of its 1 items is among the 2 items in the data"):
        steps.shared_items({"c": pa.array(["02"])}, items, "rules")
