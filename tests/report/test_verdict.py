"""The verdict that is printed at the end of a run."""

import pytest
from made_records import COUNTS, of_old_version, record, row

from recbole.report.columns import FORGOTTEN, NDCG, VIEW_OF_SPAM
from recbole.report.verdict import say, verdict

LOG_ODDS = {"metric": "forgotten_log_odds", "split": "train", "view": "current", "population": "requesting"}
SPAM = {"target_items": ["7"]}
RUINED = {"base": (0.5, 0.4, 0.02), "unlearned": (0.3, 0.3799, 0.9)}


def test_a_run_that_did_its_work_has_none():
    assert verdict(record()) == verdict(of_old_version(record())) == [] and say([]) == ""


def test_nothing_changed_where_no_request_was_applied_or_nothing_is_seen_of_it():
    same = {"base": (0.5, 0.4, 0.02), "unlearned": (0.5, 0.4000001, 0.02)}
    assert verdict(record(same)) == ["nothing_changed"]
    assert verdict(record(same | {"unlearned": (0.5, 0.4, 0.03)})) == ["nothing_changed"]  # only scores changed
    assert verdict(record(same | {"unlearned": (0.5, 0.401, 0.02)})) == []
    assert verdict(record(same | {"rebuilt": (0.5, 0.41, 0.02)})) == []  # but it differs from rebuilt
    assert verdict(record(same | {"unlearned": (0.5, 0.41, 0.02), "rebuilt": (0.5, 0.41, 0.02)})) == ["nothing_changed"]
    assert verdict(record(requests=COUNTS | {"applied": 0, "timeout": 10})) == ["nothing_changed"]
    assert verdict(record(requests=COUNTS | {"applied": 0, "reinitialised": 1, "timeout": 9})) == []


@pytest.mark.parametrize(("ours", "nothing"), [(1.05, True), (0.92, True), (0.8, False), (1.2, False)])
def test_less_than_a_tenth_of_the_way_to_the_retrained_model_is_nothing(ours, nothing):
    values = {"base": 1.0, "unlearned": ours, "retrained": 0.0}
    rows = [row(LOG_ODDS, value, kind) for kind, value in values.items()]
    rows += [row(LOG_ODDS | {"split": "held_out"}, 5.0, kind) for kind in values]
    assert verdict(record(rows=rows)) == ["nothing_changed"] * nothing
    assert verdict(record(rows=[each for each in rows if each["model"] != "retrained"])) == []


@pytest.mark.parametrize(("ours", "lost"), [(0.3799, True), (0.3801, False), (0.5, False)])
def test_utility_is_lost_from_five_per_cent_on(ours, lost):
    made = record({"base": (0.5, 0.4, 0.02), "unlearned": (0.4, ours, 0.03)})
    assert verdict(made) == ["utility_lost"] * lost


def test_utility_is_that_of_the_last_checkpoint_at_ten_on_the_view_shown():
    lost = {"model": "unlearned", "value": 0.01}
    others = [
        row(NDCG, **lost, checkpoint=1),
        row(NDCG | {"k": 20}, **lost),
        row(NDCG | {"view": "all"}, **lost),
        row(NDCG | {"population": "requesting"}, **lost),
        row(NDCG | {"minus": "base"}, **lost),
    ]
    made = record()
    assert verdict(made | {"metrics": others + made["metrics"]}) == []
    made = record({"base": (0.5, 0.4, 0.02), "unlearned": (0.4, 0.2, 0.03)})
    assert verdict(made | {"spam": SPAM}) == []  # the view of all users is not used for spam
    rows = [row(NDCG | VIEW_OF_SPAM, value, kind) for kind, value in (("base", 0.4), ("unlearned", 0.3))]
    assert verdict(record(rows=rows) | {"spam": SPAM}) == ["utility_lost"]


def test_utility_is_lost_if_it_is_unknown_of_the_unlearned_model_alone():
    for value in (None, float("nan")):
        for base, lost in ((0.4, ["utility_lost"]), (value, [])):
            rows = [row(NDCG, value, "unlearned"), row(NDCG, base, "base")]
            assert verdict(record({"base": (0.5, None, 0.02)}, rows=rows)) == lost
    assert verdict(record() | {"metrics": None}) == []


def test_all_diverged_where_no_request_did_better():
    same = {"base": (0.5, 0.4, 0.02), "unlearned": (0.5, 0.4, 0.02)}
    diverged = COUNTS | {"applied": 0, "diverged": 10}
    assert verdict(record(same, diverged)) == ["all_diverged"]
    assert verdict(record(same, diverged | {"diverged": 9, "timeout": 1})) == ["nothing_changed"]
    assert verdict(record(requests=diverged | {"diverged": 9, "applied": 1})) == []


@pytest.mark.parametrize(("low", "high", "nothing"), [(-0.1, 0.2, True), (0.1, 0.2, False), (-0.2, -0.1, False)])
def test_nothing_to_forget_where_the_interval_of_base_less_retrained_holds_zero(low, high, nothing):
    interval = {"low": low, "high": high, "minus": "retrained"}
    rows = [row(LOG_ODDS, 0.1, "base", **interval)]
    rows += [row(LOG_ODDS | {"split": "held_out"}, 0.1, "base", **interval | {"low": 3, "high": 4})]
    rows += [row(LOG_ODDS, 0.1, "unlearned", **interval | {"low": -1, "high": 1})]
    assert verdict(record(rows=rows)) == ["nothing_to_forget"] * nothing


@pytest.mark.parametrize(("base", "retrained", "nothing"), [(0.5, 0.5, True), (0.5, 0.4, False), (0.0, 0.0, True)])
def test_without_intervals_it_is_what_base_and_retrained_show_alike(base, retrained, nothing):
    rows = [row(FORGOTTEN, base, "base"), row(FORGOTTEN, retrained, "retrained")]
    assert verdict(record(rows=rows)) == ["nothing_to_forget"] * nothing
    assert verdict(record(rows=rows[:1])) == []


def test_it_is_said_in_plain_words_with_what_to_do():
    codes = ["nothing_changed", "utility_lost", "all_diverged", "nothing_to_forget"]
    told = say(codes).splitlines()
    assert len(told) == 4 and [line.split(":")[0] for line in told] == [
        *("Nothing changed", "Utility is lost", "All diverged", "Nothing to forget")
    ]
    assert "a smaller --damping" in told[0] and "--preset tuned" in told[0]
    assert "a larger --damping" in told[1] and "--max_norm" in told[1]
    assert "--gif_scale_factor" in told[2] and "--unlearning_fraction" in told[3]
    assert say(["all_diverged"], ["the series grows", "x"]) == f"{told[2]} The first one: the series grows."
    assert say(["utility_lost"], ["the series grows"]) == told[1]


def test_several_things_may_be_said():
    made = record(RUINED, rows=[row(FORGOTTEN, 0.5, "base"), row(FORGOTTEN, 0.5, "retrained")])
    assert verdict(made) == ["utility_lost", "nothing_to_forget"]
