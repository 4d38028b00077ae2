"""The table of attacks: the chosen attackers of several files, and all rows of one file."""

from recbole.evaluator.table import Table
from recbole.report.attacks import HEADINGS, as_table, chosen


def rows(model, population, value):
    table = Table(model=model, checkpoint=3, split="gender", view="any", population=population)
    for metric in HEADINGS:
        table.add(metric, value, low=value - 0.1, high=value + 0.1, n_people=40)
    return table.rows


def test_chosen_attackers_are_told_by_file():
    base, unlearned = rows("base", "inside/worst", 0.7), rows("unlearned", "inside/adaptive", 0.625)
    other = rows("unlearned", "inside/trees", 0.9)
    told = chosen({"a.json": {"metrics": base}, "b.json": {"metrics": unlearned + other}})
    lines = told.splitlines()
    assert lines[0].startswith("checkpoint 3, attribute gender") and len(lines) == 4
    assert " ".join(lines[2].split()) == "a.json base inside/worst 0.7 0.6, 0.8 40 0.7 0.7"
    assert " ".join(lines[3].split()) == "b.json unlearned inside/adaptive 0.625 0.525, 0.725 40 0.625 0.625"
    assert chosen({"a.json": {"metrics": other}}) is None


def test_all_attackers_of_a_model_are_told():
    told = as_table(rows("base", "inside/trees", 0.7) + rows("base", "inside/mlp", 0.6))
    assert "inside/trees" in told and "inside/mlp" in told and "model base" in told.splitlines()[0]
