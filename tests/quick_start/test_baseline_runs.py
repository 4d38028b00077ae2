"""Baselines with the documented commands."""

import json

import pytest

FILTER = ("--unlearning_algorithm", "filter", "--result_file", "result.json")


@pytest.fixture(scope="module")
def place(world, here, tmp_path_factory):
    """Small data with a base and a retrained model, each trained for one epoch."""
    made = world(tmp_path_factory.mktemp("filtered"))
    for more in ((), ("--retrain_checkpoint_idx_to_match", "3")):
        told = here(made.folder, "run_recbole.py", "--epochs", "3", *more)
        assert told.status == 0, told.err
    return made


def rows(place, here, *more):
    told = here(place.folder, "unlearn.py", *FILTER, *more)
    assert told.status == 0, told.err
    result = json.loads((place.folder / "result.json").read_text())
    return told, result, [row for row in result["metrics"] if row["checkpoint"] == 3]


def values(rows, model, metric):
    return [row["value"] for row in rows if row["model"] == model and row["metric"] == metric and not row["minus"]]


@pytest.fixture(scope="module")
def told(place, here):
    return rows(place, here)


def test_the_filter_hides_forgotten_items_and_has_no_log_odds(told):
    out, result, found = told
    assert result["requests"]["applied"] == 8 and result["requests"]["median_relative_change"] == 0
    shown = values(found, "unlearned", "avg_forgotten_per_user")
    assert set(shown) == {0} and max(values(found, "base", "avg_forgotten_per_user")) > 0
    odds = values(found, "unlearned", "forgotten_log_odds")
    assert odds and set(odds) == {None} and None not in values(found, "base", "forgotten_log_odds")
    for metric in ("forgotten_log2_rank", "js_divergence", "rank_change"):
        assert values(found, "unlearned", metric) and None not in values(found, "unlearned", metric)
    assert "forgotten pairs have no log-odds" in out.out


def test_hidden_items_stay_hidden_when_checkpoints_are_evaluated_again(told, place, here):
    _, _, again = rows(place, here, "--eval_only")
    assert again == told[2]


def test_session_models_are_rejected_before_any_file_is_read(place, here):
    told = here(place.folder, "unlearn.py", *FILTER, "--model", "GRU4Rec")
    assert told.status == 2 and told.err.count("\n") == 1
    assert "GRU4Rec recommends to sessions, which do not" in told.err
