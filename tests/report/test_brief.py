"""The short comparison: one line per model after the last request, and a summary in words."""

import json

import pytest
from made_records import COUNTS, record, row

from recbole.quick_start.report import main
from recbole.report.columns import FORGOTTEN, HEADROOM, forgetting, ndcg, spam

LOG_ODDS = forgetting(10)["forgotten log-odds"]


def forgot(base=-4.0, ours=-5.5, retrained=-6.0, paired=(1.5, 2.5), **about):
    """Return a record with log-odds of three models and the paired interval of base minus retrained."""
    pairs = {"n_people": 9, "n_rows": 21}
    values = {"base": base, "unlearned": ours, "retrained": retrained}
    rows = [row(LOG_ODDS, value, kind, low=value - 1, high=value + 1, **pairs) for kind, value in values.items()]
    rows += [row(FORGOTTEN, 0.5, kind) for kind in values]
    rows.append(row(HEADROOM, base - retrained, "base", low=paired[0], high=paired[1]))
    rows.append(row(LOG_ODDS, -99.0, "unlearned", checkpoint=2))
    return record(rows=rows, **about)


@pytest.fixture
def brief(tmp_path, capsys):
    """A function that returns the printed short comparison of records, given by file name."""

    def told(**records):
        paths = [tmp_path / f"{name}.json" for name in records]
        for path, content in zip(paths, records.values(), strict=True):
            path.write_text(json.dumps(content))
        assert main(["--brief", *map(str, paths)]) == 0
        return capsys.readouterr().out

    return told


def test_each_model_has_one_line_in_order_after_the_last_request(brief):
    lines = brief(z=forgot(), a=forgot(ours=-4.4)).splitlines()
    assert lines[0] == "BPR on ml-100k, seed 2: forgetting fraction_0.001_horror."
    assert "12 requests (10 applied, 2 skipped), where 9 users had 21 forgotten pairs" in lines[1]
    assert [line.split()[0] for line in lines[4:8]] == ["base", "z", "a", "retrained"]
    assert "-5.5 [-6.5, -4.5]" in lines[5] and not any("-99" in line for line in lines)


def test_it_says_how_far_an_algorithm_went_and_what_it_cost(brief):
    told = " ".join(brief(run=forgot()).split())
    assert "retraining lowers the log-odds by 2 [1.5, 2.5]" in told
    assert "run: The log-odds move 75 % of the way from base to retrained." in told
    assert "NDCG@10 is 0.39, before unlearning 0.4." in told
    assert "A request takes 0.5 s; retraining takes 80 times as long." in told
    assert "All requests together take as long as 0.2 retrainings." in told


def test_without_anything_to_forget_no_way_is_printed(brief):
    told = brief(run=forgot(paired=(-0.5, 2.5)))
    assert "There is nothing to forget here" in told and "% of the way" not in told


def test_verdicts_are_printed_and_lost_utility_is_not_called_a_change(brief):
    lost = {"base": (0.5, 0.4, 0.02), "unlearned": (0.1, 0.1, 0.3), "retrained": (0.4, 0.38, None)}
    told = " ".join(brief(run=forgot(values=lost)).split())
    assert "Utility is lost: NDCG@10 is more than 5 %" in told and "before unlearning" not in told.split("run:")[1]
    idle = forgot(ours=-4.0, requests=COUNTS | {"applied": 0, "skipped": 12})
    assert "Nothing changed" in brief(run=idle)


def test_the_way_starts_at_the_rebuilt_model(brief):
    graph = forgot(ours=-5.5)
    graph["metrics"] += [row(LOG_ODDS, -5.0, "rebuilt"), row(ndcg(10), 0.4, "rebuilt")]
    told = brief(run=graph)
    assert "50 % of the way from rebuilt to retrained" in told


def test_groups_are_separate_and_spam_has_its_own_columns(brief):
    columns = spam(10)
    attacked = record({}, rows=[
        row(columns[heading], value, kind, checkpoint=None if kind == "clean" else 3, seed=3)
        for kind, at in (("clean", 1), ("base", 2), ("unlearned", 3), ("retrained", 4))
        for heading, value in (("NDCG@10", 0.3 + at / 100), ("target log p", -at), ("target HR@10", at / 10))
    ]) | {"spam": {"n_target_items": 1}}  # fmt: skip
    told = brief(one=forgot(), other=attacked)
    heads = [line for line in told.splitlines() if line.startswith("BPR on ml-100k")]
    assert heads == [
        "BPR on ml-100k, seed 2: forgetting fraction_0.001_horror.",
        "BPR on ml-100k, seed 3: forgetting spam.",
    ]
    table = [line.split() for line in told.splitlines() if line.startswith("clean ")]
    assert table == [["clean", "0.31", "-1", "0.1"]]


def test_without_lists_it_is_one_line(tmp_path, capsys):
    bare = forgot()
    bare["metrics"] = [one for one in bare["metrics"] if one["k"] is None]
    (tmp_path / "bare.json").write_text(json.dumps(bare))
    assert main(["--brief", str(tmp_path / "bare.json")]) == 2
    told = "report: bare: has no metrics of ranked lists (such as NDCG@10), but --brief needs them\n"
    assert capsys.readouterr().err == told
