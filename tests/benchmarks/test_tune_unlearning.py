"""`benchmarks/tune_unlearning.py`: the whole search on small data, the selection rule, and the text of the preset."""

import importlib
import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from recbole.unlearning.registry import ERASE_ALGORITHMS, get_algorithm

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SETTINGS = {
    **{
        "dataset": "tiny",
        "unlearning_fraction": 0.1,
        "forget_set_seed": 2,
        "use_gpu": False,
        "eval_args": {"order": "TO"},
    },
    **{
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "embedding_size": 8,
        "epochs": 3,
        "stopping_step": 3,
    },
    **{"train_batch_size": 64, "learning_rate": 0.05, "valid_metric": "Recall@10"},
}
CELL = {"categories": ["odd"], "seeds": [101], "requests": 3, "limit": 60, "settings": SETTINGS}
POINTS = {"scif": [{"damping": 1e-2}, {"damping": 1e-6}], "kookmin": [{}, {"kookmin_init_rate": 0.5}]}


@pytest.fixture
def benchmark(monkeypatch):
    """A function: ``benchmark(name)`` imports a script of the benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def choice(benchmark):
    return benchmark("tune_unlearning_choice")


# --- the whole search ------------------------------------------------------------------------------------------------
@pytest.fixture
def search(benchmark, tmp_path, write_inter, capsys):
    """A function that runs the script on small data with further arguments; it returns the status and the output."""
    draw, level = np.random.default_rng(3), logging.getLogger("recbole").level
    rows = [(f"u{user}", f"i{item}") for user in range(10, 40) for item in draw.choice(40, 14, replace=False)]
    data = write_inter(tmp_path / "data", [(*row, at) for at, row in enumerate(rows)], dataset="tiny").parent
    odd = [f"i{at}" for at in range(6)]
    (data / "sensitive_asins_odd.txt").write_text("\n".join(odd) + "\n")
    asked = [row for row in rows if row[1] in odd][:12]
    pairs = "".join(f"{user}\t{item}\n" for user, item in asked)
    name = "tiny_unlearn_pairs_sensitive_category_odd_seed_2_unlearning_fraction_0.1.inter"
    (data / name).write_text(f"user_id:token\titem_id:token\n{pairs}")
    space = tmp_path / "space.yaml"
    space.write_text(json.dumps({"max_loss": 0.9, "models": {"BPR": CELL}, "candidates": POINTS}))
    program = benchmark("tune_unlearning")

    def run(*more):
        status = program.main(["--work", str(tmp_path / "work"), "--space", str(space), *map(str, more)])
        return status, capsys.readouterr()

    yield run
    logging.getLogger("recbole").setLevel(level)


def test_a_search_resumes_and_gives_a_table_and_a_preset(search, tmp_path):
    data, trials = ("--data", tmp_path / "data"), tmp_path / "work" / "trials"
    status, told = search(*data)
    assert status == 0 and told.err == ""
    assert {path.stem.rsplit("_", 1)[0] for path in (tmp_path / "work" / "models").glob("*.pth")} == {
        "BPR_101", "BPR_101_odd_retrained"
    }  # fmt: skip
    found = {path.name: json.loads(path.read_text()) for path in trials.glob("*_scif_*.json")}
    assert len(found) == 2 and len(list(trials.glob("*_kookmin_*.json"))) == 2
    references = json.loads(next(trials.glob("*_references_*.json")).read_text())
    for trial in found.values():
        assert trial["complete"] and trial["outcomes"] == {"applied": 3} and trial["limit"] == 60
        assert trial["people"] == references["retrained"]["people"] and len(set(trial["people"])) == 3
        assert len(trial["log_odds"]) == len(trial["people"]) and 0 < trial["utility"] < 1 and trial["divergence"] > 0
    assert references["retrained"]["divergence"] == 0
    moved = [np.abs(np.subtract(trial["log_odds"], references["base"]["log_odds"])).max() for trial in found.values()]
    assert max(moved) > 10 * min(moved) > 0

    assert search(*data) == (0, ("", ""))  # nothing is left to run
    gone = next(trials.glob("*_kookmin_*.json"))
    gone.unlink()
    status, told = search(*data)
    assert status == 0 and told.out.count("\n") == 1 and "kookmin" in told.out and gone.exists()

    preset = tmp_path / "tuned.yaml"
    preset.write_text("# why\nscif:\n  BPR: {damping: 0.5}   # old\n  SGL: {damping: 0.25}   # kept\n")
    status, told = search("--table", tmp_path / "table.md", "--write", preset)
    table = (tmp_path / "table.md").read_text()
    assert status == 0 and told.out.startswith(table) and table.count("\n| scif |") == 2 and table.count("**") == 6
    assert "models retrained for it: 1 (" in table and "base models beside them: 1 (" in table
    written = yaml.safe_load(preset.read_text())
    assert written["scif"]["SGL"] == {"damping": 0.25} and "# kept" in preset.read_text()
    assert written["scif"]["BPR"] in POINTS["scif"] and "# old" not in preset.read_text()
    assert written["kookmin"]["BPR"]["kookmin_init_rate"] in (0.01, 0.5)  # default values are written, too


def test_a_trial_over_its_limit_is_recorded_and_repeated_with_a_higher_limit(search, tmp_path):
    asked = ("--data", tmp_path / "data", "--algorithms", "scif")
    status, told = search(*asked, "--limit", "0")
    assert status == 0 and told.out.count("over the limit of 0 s") == 2
    trials = [json.loads(path.read_text()) for path in (tmp_path / "work" / "trials").glob("*_scif_*.json")]
    assert [(trial["complete"], trial["outcomes"], trial["requests"]) for trial in trials] == [(False, {}, 3)] * 2
    status, told = search("--table", tmp_path / "table.md", "--algorithms", "scif")
    assert status == 0 and told.out.count("out: over 0 s") == 2
    assert search(*asked, "--limit", "0") == (0, ("", ""))
    status, told = search(*asked)
    assert status == 0 and told.out.count("3 applied") == 2


def test_models_with_other_settings_and_a_missing_preset_give_one_line_errors(search, tmp_path):
    asked = ("--data", tmp_path / "data", "--algorithms", "scif", "--limit", "0")
    assert search(*asked)[0] == 0
    space = tmp_path / "space.yaml"
    space.write_text(space.read_text().replace('"epochs": 3', '"epochs": 2'))
    status, told = search(*asked)
    assert status == 2 and told.err.count("\n") == 1 and "has other settings" in told.err and "epochs" in told.err
    status, told = search("--write", tmp_path / "none.yaml")
    assert (
        status == 2
        and told.err == f"tune_unlearning.py: cannot read {tmp_path / 'none.yaml'}: No such file or directory\n"
    )


def test_the_candidates_are_equally_many_and_seeds_and_categories_are_not_reported_ones():
    space, grid = (yaml.safe_load((BENCHMARKS / f"{name}.yaml").read_text()) for name in ("tune_unlearning", "grid"))
    assert set(space["candidates"]) == set(ERASE_ALGORITHMS)
    reported = {cell["sensitive_category"] for cell in grid["models"].values()}
    for model, entry in space["models"].items():
        assert model in grid["models"] and min(entry["seeds"]) > 100 and not reported & set(entry["categories"])
        assert all(re.match("tuning(_|$)", category) for category in entry["categories"])
        for algorithm, points in (space["candidates"] | entry.get("candidates", {})).items():
            assert len({json.dumps(point) for point in points}) == len(points) == 6
            for point in points:
                get_algorithm(algorithm).Hyper(**point)


def test_a_limited_number_of_requests_takes_the_first(benchmark, worlds):
    requests = worlds("BPR").requests
    first = benchmark("tune_unlearning_subject").first
    assert [one.entity for one in first(requests, 2)] == [one.entity for one in requests][:2]
    assert np.array_equal(first(requests, 2).rows, np.concatenate([requests[0].rows, requests[1].rows]))
    assert len(first(requests, None)) == len(first(requests, 99)) == len(requests)


# --- the rule --------------------------------------------------------------------------------------------------------
def scores(odds, utility=0.2, divergence=0.1, people=(1, 1, 2, 3)):
    return {"log_odds": odds, "people": list(people), "utility": utility, "divergence": divergence}


def trial(odds, utility=0.2, divergence=0.1, complete=True, **outcomes):
    ended = {
        "complete": complete,
        "limit": 9,
        "cpu_seconds": 1.0,
        "requests": 3,
        "outcomes": outcomes or {"applied": 3},
    }
    return ended | (scores(odds, utility, divergence) if complete else {})


@pytest.fixture
def run(choice):
    """A function that returns a run with base log-odds -5, retrained log-odds -8 and the given trials."""
    return lambda *trials: choice.Run(scores([-5.0] * 4), scores([-8.0] * 4, divergence=0.0), list(trials))


def test_the_candidate_closest_to_retrained_is_selected_from_either_side(choice, run):
    rows = choice.rows_of([run(trial([-6.0] * 4), trial([-8.5] * 4), trial([-9.5] * 4))], 0.02)
    assert [row.gap for row in rows] == [2.0, 0.5, 1.5] and [row.excess for row in rows] == [1.5, 0.0, 1.0]
    assert rows[0].way == pytest.approx(1 / 3) and rows[1].way == pytest.approx(3.5 / 3)
    assert choice.choose(rows) == 1


def test_within_one_standard_error_the_divergence_of_other_users_decides(choice, run):
    near, far = [-7.9, -8.1, -8.0, -7.6], [-7.3, -8.5, -8.2, -7.2]
    rows = choice.rows_of(
        [run(trial(near, divergence=0.3), trial(far, divergence=0.2), trial([-6.0] * 4, divergence=0))], 0.02
    )
    # differences far - near: 0.6, -0.4, -0.2, 0.4, mean 0.1; the users 1, 2, 3 deviate by 0.0, -0.3, 0.3
    assert (rows[1].excess, rows[1].error) == pytest.approx((0.1, (1.5 * 0.18 / 16) ** 0.5))
    assert choice.choose(rows) == 1
    same = choice.rows_of([run(trial(near, divergence=0.3), trial(near, divergence=0.4))], 0.02)
    assert same[1].error == 0 and choice.choose(same) == 0


def test_more_runs_give_a_smaller_standard_error(choice, run):
    one = run(trial([-7.9, -8.1, -8.0, -7.6]), trial([-7.3, -8.5, -8.2, -7.2]))
    alone, both = choice.rows_of([one], 0.02), choice.rows_of([one, one], 0.02)
    assert both[1].excess == pytest.approx(alone[1].excess) and both[1].error == pytest.approx(alone[1].error / 2**0.5)
    rows = choice.rows_of([run(trial([-7.0] * 4)), run(trial([-9.0] * 4))], 0.02)
    assert rows[0].gap == 1.0 and rows[0].way == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (trial([-8.0] * 4, utility=0.19), "loses more than 2%"),
        (trial([-8.0] * 4, applied=2, diverged=1), "1 diverged"),
        (trial([-8.0] * 4, applied=1, timeout=2), "2 timeout"),
        (trial([-8.0, None, -8.0, -8.0]), "scores are no numbers"),
        (trial([-8.0] * 4, utility=None), "scores are no numbers"),
        (trial([], complete=False, applied=1), "over 9 s"),
        (None, "not run"),
        (trial([-4.0] * 4), "no nearer to retrained than base is"),
        (trial([-5.1, -5.1, -4.9, -4.9]), "no nearer to retrained than base is"),
    ],
)
def test_excluded_candidates_are_not_selected_and_have_a_reason(choice, run, other, told):
    rows = choice.rows_of([run(other, trial([-6.0] * 4))], 0.02)
    assert rows[0].out == told and choice.choose(rows) == 1 and rows[1].excess == 0
    assert choice.choose(choice.rows_of([run(other)], 0.02)) is None
    assert told in choice.tables(
        {("scif", "BPR"): ([{"damping": 1e-6}], [run(other)])}, 0.02, {"base": [], "retrained": []}
    )


# --- the preset ------------------------------------------------------------------------------------------------------
PRESET = """# the head
scif:
  # about both of these
  BPR: {damping: 0.5}   # old
  # about LightGCN
  LightGCN: {damping: 0.25}   # kept
"""


def test_writing_the_preset_keeps_other_entries_and_can_be_repeated(choice, run):
    good, bad = run(trial([-7.0] * 4, utility=0.201)), run(trial([-8.0] * 4, utility=0.1))
    points = [{"damping": 1e-6}]
    text = choice.preset_text(PRESET, {("scif", "BPR"): (points, [good]), ("gif", "BPR"): (points, [bad])}, 0.02)
    assert yaml.safe_load(text) == {"scif": {"LightGCN": {"damping": 0.25}, "BPR": {"damping": 1e-6}}, "gif": {}}
    assert "# about LightGCN\n  LightGCN: {damping: 0.25}   # kept" in text and "both" not in text
    assert "  BPR: {damping: 1.0e-06}   # way 67%, NDCG@10 +0.5%, JS of others 0.1000; 1 run\n" in text
    assert "  # BPR: none of 1 candidates: loses more than 2%\n" in text
    again = choice.preset_text(text, {("scif", "BPR"): (points, [bad]), ("gif", "BPR"): (points, [good])}, 0.02)
    assert yaml.safe_load(again) == {"scif": {"LightGCN": {"damping": 0.25}}, "gif": {"BPR": {"damping": 1e-6}}}
    assert again.count(": none of ") == 1 and "# about LightGCN" in again


def test_a_preset_with_another_layout_is_rejected(choice, run):
    text = "scif:\n  LightGCN:\n    damping: 1.0\n  BPR:\n    damping: 2.0\n"
    found = {("scif", "BPR"): ([{"damping": 1e-6}], [run(trial([-7.0] * 4))])}
    with pytest.raises(choice.UserError, match="must have one line for each model"):
        choice.preset_text(text, found, 0.02)
