"""Records that are read from result files, and rejected files."""

import json
import math

import pytest
from made_records import OLD, of_old_version, record

from recbole.report.records import list_lengths, read_if_there, read_unlearned
from recbole.utils import UserError

ROW = {"model": "unlearned", "checkpoint": 3, "metric": "recall", "value": 0.5, "k": 10}


def _text(**changed):
    return json.dumps({"kind": "unlearned", "metrics": [ROW]} | changed)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not a result file of unlearn.py"),
        ("[" * 100_000, "not a result file of unlearn.py"),
        ("[]", "not a result file of unlearn.py"),
        ("3", "not a result file of unlearn.py"),
        ("checkpoint,model\n", "not a result file of unlearn.py"),
        ('{"metrics": []}', "not a result file of unlearn.py (kind is missing)"),
        ('{"kind": "unlearned"}', "not a result file of unlearn.py (metrics is missing)"),
        (_text(kind="retrained"), "a result file of a retrained model; give files written by unlearn.py"),
        (_text(metrics=None), "no rows of an unlearned model; give files written by unlearn.py"),
        (_text(metrics=5), "not a result file of unlearn.py (metrics is 5, but should be a list, or null)"),
        (_text(metrics=[ROW, 3]), "not a result file of unlearn.py (row 2 in metrics is 3, but should be an object)"),
        (
            _text(metrics=[{"model": "unlearned"}]),
            "not a result file of unlearn.py (checkpoint in row 1 in metrics is mis",
        ),
        (
            _text(metrics=[ROW | {"value": "a"}]),
            'not a result file of unlearn.py (value in row 1 in metrics is "a", but',
        ),
        (
            _text(metrics=[ROW | {"checkpoint": [3]}]),
            "not a result file of unlearn.py (checkpoint in row 1 in metrics is",
        ),
        (_text(metrics=[ROW | {"value": 1.5}]), "row 1 in metrics: recall is 1.5, but should be between 0 and 1"),
        (_text(metrics=[ROW | {"metric": "logloss", "value": -1}]), "row 1 in metrics: logloss is -1, but should be 0"),
        (_text(timing=[]), "not a result file of unlearn.py (timing is a list, but should be an object)"),
        (_text(metrics=[ROW | {"model": "base"}]), "no rows of an unlearned model"),
    ],
)
def test_what_is_no_record_of_an_unlearning_run_is_refused_by_name_in_one_line(tmp_path, text, told):
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_unlearned(path)
    assert str(caught.value).startswith(f"{path}: {told}") and "\n" not in str(caught.value)


@pytest.mark.parametrize("metric", ["expectedrank", "averagepopularity", "mae", "rmse", "logloss"])
def test_metrics_without_an_upper_bound_may_exceed_1(tmp_path, metric):
    path = tmp_path / "result.json"
    path.write_text(_text(metrics=[ROW | {"metric": metric, "value": 30.5}]))
    assert read_unlearned(path)["metrics"][0]["value"] == 30.5


def test_what_is_no_text_or_no_file_is_refused_too(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"PK\x03\x04\xff\xfe\x80")
    for path in (tmp_path / "model.pth", tmp_path, tmp_path / "none.json"):
        with pytest.raises(UserError, match="not a result file of unlearn"):
            read_unlearned(path)


def test_a_record_is_completed_from_what_it_says_of_its_run(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(_text())
    assert read_unlearned(path)["timing"] == {}
    path.write_text(json.dumps(of_old_version(record(seed=7))))
    rows = read_unlearned(path)["metrics"]
    assert {(row["dataset"], row["model_class"], row["seed"]) for row in rows} == {("ml-100k", "BPR", 7)}
    assert {row[name] for row in rows for name in ("scenario", "settings", "n_people", "minus")} == {None}
    assert {row["reference_twin"] for row in rows if row["reference"]} == {"unknown"}
    assert {row["reference_twin"] for row in rows if not row["reference"]} == {None} and set(OLD) < set(rows[0])


def test_list_lengths_are_those_asked_for_that_there_are_rows_of():
    rows = [ROW | {"k": k} for k in (50, 5, 10, None)] + [ROW | {"metric": "jaccard", "k": 7}]
    made = {"config": {}, "metrics": rows}
    assert list_lengths(made) == [5, 10, 50]
    assert list_lengths(made | {"config": {"topk": [50, 5, 100]}}) == [5, 50]
    assert list_lengths({"config": {"topk": [5]}, "metrics": []}) == []


def test_a_result_that_is_not_there_is_none(tmp_path):
    assert read_if_there(tmp_path / "none.json") is None
    (tmp_path / "some.json").write_text('{"kind": "base"}')
    assert read_if_there(tmp_path / "some.json") == {"kind": "base"}


@pytest.mark.parametrize(
    "key", ["other_seeds", "same_epoch", "monolithic", "selected_epochs", "mask", "seed", "requests"]
)
def test_a_key_with_a_value_of_the_wrong_type_is_named(tmp_path, key):
    path = tmp_path / "result.json"
    path.write_text(_text(**{key: "high"}))
    with pytest.raises(UserError, match=rf'\({key} is "high", but should be an? .*\)$'):
        read_unlearned(path)


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"config": {"topk": [10, math.inf]}}, "entry 2 in topk in config is Infinity, but should be a whole number"),
        ({"config": {"topk": [[]]}}, "entry 1 in topk in config is a list, but should be a whole number of 1 or more"),
        ({"requests": {"applied": None}}, "applied in requests is null, but should be a whole number of 0 or more"),
        ({"timing": {"seconds_mean": 10**400}}, "seconds_mean in timing is 1000"),
        ({"selected_epochs": {"retrained": {"3": "x"}}}, '3 in retrained in selected_epochs is "x", but should be'),
        (
            {"metrics": [ROW, ROW | {"reference": {}}]},
            "reference in row 2 in metrics is an object, but should be a text",
        ),
        (
            {"metrics": [ROW | {"dataset": "\ud800"}]},
            r'dataset in row 1 in metrics is "\ud800", but should be valid Unic',
        ),
        ({"of": ["x", "\ud800"]}, r'entry 2 in of is "\ud800", but should be valid Unicode'),
    ],
)
def test_a_value_of_the_wrong_type_inside_is_named_with_its_place(tmp_path, about, told):
    path = tmp_path / "result.json"
    path.write_text(_text(**about))
    with pytest.raises(UserError) as caught:
        read_unlearned(path)
    assert f"{path}: not a result file of unlearn.py ({told}" in str(caught.value)
