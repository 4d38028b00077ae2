"""The comparison of runs: which rows the table has, in which order, and its notes."""

import json
import math

import pytest
from made_records import COUNTS, TIMING, of_old_version, record, row

from recbole.report.columns import FORGOTTEN, JS_OTHERS, RECALL, VIEW_OF_SPAM
from recbole.report.comparison import comparison
from recbole.utils import UserError


@pytest.fixture
def compare(tmp_path):
    """A function that returns the :class:`Comparison` of records, given by file name."""

    def made(k=None, **records):
        for name, content in records.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return comparison([tmp_path / f"{name}.json" for name in records], k)

    return made


def lines(found, *columns):
    """Return some columns of a table, one tuple per row; None for missing values."""
    table = found.table[list(columns)].astype(object)
    return list(table.where(table.notna(), None).itertuples(index=False, name=None))


def test_base_and_retrained_of_the_same_settings_stand_once_around_the_runs(compare):
    other = record({"base": (0.5, 0.4, 0.02), "unlearned": (0.3, 0.2, 0.03), "retrained": (0.4, 0.38, None)})
    for each in other["metrics"]:
        each["settings"] = "damping_0.5 dddd0000" if each["model"] == "unlearned" else each["settings"]
    found = compare(z=record(), a=other)
    assert lines(found, "model", "run", "settings", "Recall@10") == [
        ("base", None, "aaaa0000", 0.5),
        ("unlearned", "z", "cccc0000", 0.45),
        ("unlearned", "a", "damping_0.5 dddd0000", 0.3),
        ("retrained", None, "bbbb0000", 0.4),
    ]
    assert found.notes == []


@pytest.mark.parametrize(
    ("column", "value"),
    [("dataset", "tafeng"), ("model_class", "LightGCN"), ("seed", 3), ("scenario", "fraction_0.001_war")],
)
def test_what_differs_in_what_it_is_of_is_never_merged(compare, column, value):
    found = compare(one=record(), other=record(**{column: value}))  # with equal values
    usual = found.table[column].iloc[0]
    assert value != usual and lines(found, column, "model") == [
        *((usual, "base"), (usual, "unlearned"), (usual, "retrained")),
        *((value, "base"), (value, "unlearned"), (value, "retrained")),
    ]
    assert found.notes == []


def test_base_and_retrained_of_other_settings_stand_each(compare):
    other = record()
    for each in other["metrics"]:
        each["settings"] = f"other {each['settings']}"
    assert [model for (model,) in lines(compare(one=record(), other=other), "model")] == [
        *("base", "base", "unlearned", "unlearned", "retrained", "retrained")
    ]


def test_the_very_same_run_twice_is_counted_and_left_out(compare):
    found = compare(one=record(), again=record())
    assert len(found.table) == 3 and found.notes == [
        "1 row is left out, because another row has the same model and values"
    ]


def test_the_same_settings_with_other_values_are_all_shown_and_told(compare):
    other = record({"base": (0.51, 0.4, 0.02), "unlearned": (0.46, 0.39, 0.01), "retrained": (0.4, 0.38, None)})
    found = compare(one=record(), other=other)
    assert lines(found, "model", "run") == [
        *(("base", "one"), ("base", "other"), ("unlearned", "one"), ("unlearned", "other"), ("retrained", None))
    ]
    assert found.notes == ["2 rows are shown in addition to rows with the same settings but other values"]


def test_what_one_file_knows_of_a_model_fills_what_another_lacks(compare):
    before = record({"base": (0.5, 0.4, None), "unlearned": (0.45, 0.39, None)})  # a record from before the retraining
    found = compare(before=before, after=record())
    assert lines(found, "model", "JS others") == [("base", 0.02), ("unlearned", 0.01), ("retrained", None)]


def test_older_files_tell_their_run_by_their_record_and_null_where_nobody_knows(compare):
    old, other = of_old_version(record()), of_old_version(record(seed=5))
    found = compare(tuned=old, default=old, other=other)
    about = ("dataset", "model_class", "seed", "scenario", "settings", "n_people", "model", "run")
    assert lines(found, *about) == [
        ("ml-100k", "BPR", 2, None, None, None, "base", None),
        (
            "ml-100k",
            "BPR",
            2,
            None,
            None,
            None,
            "unlearned",
            "tuned",
        ),  # it is unknown whether the settings are the same
        ("ml-100k", "BPR", 2, None, None, None, "unlearned", "default"),
        ("ml-100k", "BPR", 2, None, None, None, "retrained", None),
        ("ml-100k", "BPR", 5, None, None, None, "base", None),
        ("ml-100k", "BPR", 5, None, None, None, "unlearned", "other"),
        ("ml-100k", "BPR", 5, None, None, None, "retrained", None),
    ]
    assert found.notes == []
    war = record() | {"mask": {"forget_set_sha256": "e" * 64}}
    assert len(compare(horror=old, war=of_old_version(war)).table) == 6


def test_checkpoints_follow_each_other_and_files_of_one_name_are_told_apart(tmp_path):
    paths = [tmp_path / folder / "result.json" for folder in "ba"]
    for path in paths:
        path.parent.mkdir()
        about = {"scenario": path.parent.name}
        made = record({"unlearned": (0.4, 0.3, 0.2)}, rows=[row(RECALL, 0.1, "unlearned", 0, **about)], **about)
        path.write_text(json.dumps(made))
    assert lines(comparison(paths), "run", "checkpoint") == [(str(path), at) for path in paths for at in (0, 3)]


def test_people_and_rows_are_counted_and_so_is_who_asked(compare):
    found = compare(one=record(rows=[row(FORGOTTEN, 1.5, "unlearned", n_people=4, n_rows=5)]))
    assert lines(found, "n_people", "n_rows", "n_requesting", "forgotten@10 requesting")[1] == (30, 40, 4, 1.5)


def test_requests_change_and_costs_are_the_unlearned_models(compare):
    counts = COUNTS | {"applied": 6, "reinitialised": 1, "timeout": 2, "diverged": 1, "median_relative_change": 0.003}
    made = record(requests=counts, rows=[row(RECALL, 0.47, "unlearned", 1)])
    found = compare(one=made).table.set_index(["model", "checkpoint"])
    last = found.loc["unlearned", 3]
    assert last["requests"] == "6 applied, 1 reinitialised, 2 skipped, 2 timeout, 1 diverged"
    assert last["median change"] == 0.003 and last["remarks"] == "3 of 10 failed"
    assert (last["s/request"], last["speed-up"], last["amortised"]) == (0.5, 80, 5)
    assert (last["CPU s/request"], last["CPU speed-up"], last["CPU amortised"]) == (1, 60, 6)
    assert found.loc["unlearned", 1]["speed-up"] == 80 and math.isnan(found.loc["unlearned", 1]["amortised"])
    others = found.loc[["base", "retrained"]]
    assert others[["requests", "median change", "speed-up", "amortised", "s/request"]].isna().all(axis=None)


def test_a_row_that_equals_base_to_the_digits_shown_is_marked(compare):
    values = {"base": (0.5, 0.4, 0.02), "unlearned": (0.500004, 0.4, 0.02), "retrained": (0.5, 0.4, None)}
    assert lines(compare(one=record(values)), "model", "remarks") == [
        *(("base", ""), ("unlearned", "= base"), ("retrained", ""))
    ]
    values["unlearned"] = (0.5001, 0.4, 0.02)
    assert lines(compare(one=record(values)), "remarks")[1] == ("",)
    values["rebuilt"] = values["unlearned"]
    found = compare(one=record(values))
    assert lines(found, "model", "remarks")[1:3] == [("rebuilt", ""), ("unlearned", "= rebuilt")]


def test_nothing_applied_is_no_success(compare):
    nothing = COUNTS | {"applied": 0, "timeout": 10}
    values = {"base": (0.5, 0.4, 0.02), "unlearned": (0.5, 0.4, 0.02)}
    made = record(values, nothing, TIMING | {"speedup_over_retraining": 40.7})
    last = compare(one=made).table.iloc[1]
    assert last["remarks"] == "= base; nothing applied" and last["requests"] == "2 skipped, 10 timeout"
    assert last[["speed-up", "CPU speed-up", "amortised", "CPU amortised"]].isna().all() and last["s/request"] == 0.5


def test_outcomes_that_nobody_wrote_down_are_no_failure(compare):
    made = record(requests={"total": 12, "done": 12}, timing={})
    last = compare(one=made).table.iloc[1]
    assert last["remarks"] == "" and last["requests"] == "" and math.isnan(last["s/request"])


@pytest.mark.parametrize(
    ("twin", "told"),
    [
        (True, ""),
        (False, "reference not trained like base"),
        ("unknown", "unknown whether reference was trained like base"),
        (None, "unknown whether reference was trained like base"),
    ],
)
def test_a_distance_from_another_yardstick_says_so(compare, twin, told):
    made = record()
    for each in made["metrics"]:
        each["reference_twin"] = twin if each["reference"] else None
    assert lines(compare(one=made), "model", "remarks") == [("base", told), ("unlearned", told), ("retrained", "")]


def test_scores_that_are_not_finite_are_told(compare):
    made = record({"base": (0.5, 0.4, 0.02)}, rows=[row(RECALL, None, "unlearned")])
    assert lines(compare(one=made), "remarks")[1] == ("scores are not finite",)
    made = record({"base": (0.5, 0.4, 0.02)}, rows=[row(RECALL, None, "unlearned", n_rows=0)])
    assert lines(compare(one=made), "remarks")[1] == ("",)


def _of_lengths(*lengths, **about):
    rows = [row(RECALL | {"k": k}, k / 100, kind, **about) for k in lengths for kind in ("base", "unlearned")]
    ndcg = [row(RECALL | {"metric": "ndcg"}, 0.3, kind, **about) for kind in ("base", "unlearned")]  # for a verdict
    made = record({}, rows=rows + ndcg)
    return made | {"config": made["config"] | {"topk": list(lengths)}}


def test_headings_follow_the_list_lengths_that_there_are(compare):
    found = compare(one=_of_lengths(20, 5))
    assert lines(found, "Recall@5") == [(0.05,), (0.05,)] and "Recall@10" not in found.table
    assert {"NDCG@5", "sensitive@5 requesting", "forgotten@5 requesting"} <= set(found.table)
    assert "Recall@5, NDCG@5: view current" in found.legend and "@10" not in found.legend
    assert lines(compare(k=20, one=_of_lengths(20, 5)), "Recall@20") == [(0.2,), (0.2,)]
    found = compare(one=_of_lengths(5, 20), other=_of_lengths(20, 50, seed=3))
    assert "Recall@20" in found.table and found.notes == []  # the smallest length that both have


def test_a_list_length_that_is_not_everywhere_is_told(compare):
    with pytest.raises(
        UserError, match=r"no list length in common \(.*one.json: 5; .*other.json: 20, 50\); choose one with --k"
    ):
        compare(one=_of_lengths(5), other=_of_lengths(20, 50))
    with pytest.raises(UserError, match="--k: no file has lists of length 7; known lengths: 5, 20"):
        compare(k=7, one=_of_lengths(5, 20))
    found = compare(k=5, one=_of_lengths(5), other=_of_lengths(20, 50, seed=3))
    assert lines(found, "Recall@5") == [(0.05,), (0.05,), (None,), (None,)]
    assert len(found.notes) == 1 and found.notes[0].endswith("other.json has no lists of length 5")


def test_the_view_is_in_each_row_and_the_legend_tells_of_every_column(compare):
    found = compare(one=record())
    assert set(lines(found, "view", "population", "masking")) == {("current", "all", "retained")}
    assert found.legend.splitlines()[:4] == [
        "Recall@10, NDCG@10: view current, population all, masking retained.",
        "forgotten log-odds, forgotten log2 rank, JS requesting: view current, population requesting, masking all.",
        "sensitive@10 requesting, forgotten@10 requesting: view current, population requesting, masking retained.",
        "JS others: view current, population others, masking all.",
    ]


def test_only_rows_of_the_view_told_are_shown(compare):
    rows = [row(RECALL | about, 0.9, "unlearned") for about in ({"view": "all"}, {"population": "others"})]
    rows.append(row(RECALL | {"minus": "base"}, -0.05, "unlearned"))
    made = record({"base": (0.5, 0.4, 0.02)}, rows=[*rows, row(RECALL, 0.45, "unlearned")])
    assert lines(compare(one=made), "Recall@10") == [(0.5,), (0.45,)]


def test_the_clean_model_of_a_spam_run_stands_at_each_checkpoint(compare):
    def of_spam(metric, value, model, checkpoint, k=10):
        return row({"metric": metric, "k": k, **VIEW_OF_SPAM}, value, model, checkpoint)

    rows = [of_spam("recall", 0.5, "clean", None)]
    rows += [of_spam("recall", value, kind, at) for at in (0, 3) for kind, value in (("base", 0.4), ("unlearned", 0.3))]
    rows += [of_spam("target_hit_rate", k / 100, "unlearned", 3, k) for k in (10, 20)]
    rows += [row(JS_OTHERS, 0.1, "unlearned", 3)]
    found = compare(one=record({}, rows=rows) | {"spam": {"sha256": "0"}})
    assert lines(found, "checkpoint", "model", "view", "Recall@10") == [
        *(
            (at, kind, "clean", value)
            for at in (0, 3)
            for kind, value in (("clean", 0.5), ("base", 0.4), ("unlearned", 0.3))
        )
    ]
    assert lines(found, "target HR@10", "target HR@20", "JS others")[-1] == (0.1, 0.2, 0.1)
    assert "target exposure@10, target rank, target log p: view clean" in found.legend
