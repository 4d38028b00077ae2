"""Models side by side: which stand in the table, in which order, and what is read from a file."""

import json

import pytest

from recbole.evaluator import Table
from recbole.report.comparison import comparison, legend, summary
from recbole.report.records import read_if_there, read_unlearned
from recbole.utils import UserError


def _record(values, spam=None, **timing):
    """Return a record with the recall of each (model, checkpoint)."""
    rows = []
    for (model, checkpoint), value in values.items():
        table = Table(model=model, checkpoint=checkpoint, split="test", population="all", masking="retained")
        table.add("recall", value, 10, view="clean" if spam else "current")
        rows += table.rows
    return {"kind": "unlearned", "metrics": rows, "timing": timing, "spam": spam}


def test_a_summary_has_one_row_a_model_of_a_checkpoint():
    values = {
        ("retrained", 3): 0.3,
        ("unlearned", 3): 0.2,
        ("unlearned", 0): 0.1,
        ("base", 3): 0.4,
        ("base", None): 0.9,
    }
    table = summary(_record(values, seconds_mean=2.0, speedup_over_retraining=7.0), "mine")
    found = table.set_index(["checkpoint", "model"])
    assert len(table) == 4 and found["Recall@10"].to_dict() == {
        (3, "retrained"): 0.3,
        (3, "mine"): 0.2,
        (0, "mine"): 0.1,
        (3, "base"): 0.4,
    }
    assert found["s/request"].dropna().to_dict() == {(0, "mine"): 2.0, (3, "mine"): 2.0}
    assert found["speed-up"].dropna().to_dict() == {(0, "mine"): 7.0, (3, "mine"): 7.0}
    assert found["NDCG@10"].isna().all()


def test_the_clean_model_of_a_spam_run_stands_at_each_checkpoint():
    values = {("clean", None): 0.5, ("base", 0): 0.4, ("base", 3): 0.4, ("unlearned", 3): 0.3}
    table = summary(_record(values, spam={"fraction": 0.1}), "mine")
    clean = table[table["model"] == "clean"]
    assert clean["checkpoint"].tolist() == [0, 3] and clean["Recall@10"].tolist() == [0.5, 0.5]
    assert "target rank" in table and "promoted item" in legend(table)
    assert "promoted item" not in legend(summary(_record(values), "mine"))


def test_runs_stand_between_the_base_and_the_retrained_model_in_the_order_given(tmp_path):
    kinds = {"base": 0.5, "unlearned": 0.4, "retrained": 0.3}
    for name, checkpoints in (("z", (0, 1)), ("a", (1,))):
        record = _record({(kind, at): value + at for at in checkpoints for kind, value in kinds.items()})
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    table = comparison([tmp_path / "z.json", str(tmp_path / "a.json")])
    assert list(zip(table["checkpoint"], table["model"], strict=True)) == [
        *((0, "base"), (0, "z"), (0, "retrained")),
        *((1, "base"), (1, "z"), (1, "a"), (1, "retrained")),
    ]
    assert table["Recall@10"].tolist() == [0.5, 0.4, 0.3, 1.5, 1.4, 1.4, 1.3]
    assert table.index.tolist() == list(range(7)) and "order" not in table


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not a result file of unlearn.py"),
        ("[]", "not a result file of unlearn.py"),
        ('{"metrics": []}', "not a result file of unlearn.py ('kind')"),
        ('{"kind": "retrained", "metrics": []}', "a result file of a retrained model; give those of unlearn.py"),
    ],
)
def test_what_is_no_record_of_an_unlearning_run_is_refused_by_name(tmp_path, text, told):
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_unlearned(path)
    assert str(caught.value).startswith(f"{path}: {told}")


def test_a_result_that_is_not_there_is_none(tmp_path):
    assert read_if_there(tmp_path / "none.json") is None
    (tmp_path / "some.json").write_text('{"kind": "base"}')
    assert read_if_there(tmp_path / "some.json") == {"kind": "base"}
