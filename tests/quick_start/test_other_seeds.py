"""Distances from retrained models of other seeds, measured by unlearn.py and summarised by the report."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
from tiny_tasks import inside

from recbole.quick_start.main import train_main, unlearn_main
from recbole.quick_start.report import main as report_main
from recbole.report.records import read_unlearned
from recbole.report.seeds import over_seeds

COMMON = ("--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml", "--tensorboard", "False")
FORGETTING = ("--sensitive_category", "horror", "--unlearning_fraction", "0.01", "--forget_set_seed", "2")
RETRAIN = (*FORGETTING, "--retrain_checkpoint_idx_to_match", "3")
UNLEARN = (*COMMON, *FORGETTING)


@pytest.fixture(scope="module")
def place(world, tmp_path_factory):
    """Base, retrained and unlearned models of two seeds, each also compared with the other seed's retrained model."""
    folder, found = world(tmp_path_factory.mktemp("seeds")).folder, {}
    with inside(folder):
        for seed in "23":
            assert train_main([*COMMON, "--seed", seed]) == 0
            assert train_main([*COMMON, *RETRAIN, "--seed", seed]) == 0
        assert unlearn_main([*UNLEARN, "--result_file", "alone.json"]) == 0
        for seed, other in ("23", "32"):
            assert (
                unlearn_main([*UNLEARN, "--seed", seed, "--other_seeds", other, "--result_file", f"{seed}.json"]) == 0
            )
    for name in ("alone", "2", "3"):
        found[name] = json.loads((folder / f"{name}.json").read_text())
    return SimpleNamespace(folder=folder, saved=folder / "saved", records=found)


def distances(record, kind, seed):
    wanted = {"metric": "js_divergence", "population": "others", "checkpoint": 3, "model": kind}
    rows = [row for row in record["metrics"] if all(row[name] == value for name, value in wanted.items())]
    of = {name: other for name, other in record["other_seeds"].items() if other == seed}
    return [row for row in rows if (row["reference"] in of if seed != record["seed"] else row["reference"] not in
                                    record["other_seeds"])]  # fmt: skip


def test_rows_have_the_file_of_the_other_seed(place):
    record = place.records["2"]
    assert list(record["other_seeds"].values()) == [3]
    name = next(iter(record["other_seeds"]))
    assert name.startswith("model_BPR_seed_3_dataset_tiny_retrain_checkpoint_idx_to_match_3_") and " sha256:" in name
    for kind in ("base", "unlearned", "retrained"):
        (row,) = distances(record, kind, 3)
        assert row["value"] > 0 and row["reference_twin"] is False
    assert not distances(record, "retrained_same_epoch", 3)
    assert {row["checkpoint"] for row in record["metrics"] if row["reference"] == name} == {3}


def test_distances_between_retrained_models_are_symmetric(place):
    one, other = distances(place.records["2"], "retrained", 3), distances(place.records["3"], "retrained", 2)
    assert len(one) == len(other) == 1
    assert one[0]["n_rows"] > 0
    if one[0]["n_people"] == other[0]["n_people"]:  # the sample of other users depends on the seed
        assert one[0]["value"] == pytest.approx(other[0]["value"])


def test_all_other_rows_are_unchanged(place):
    record = place.records["2"]
    rows = [row for row in record["metrics"] if row["reference"] not in record["other_seeds"]]
    assert rows == place.records["alone"]["metrics"]
    assert record["verdict"] == place.records["alone"]["verdict"]
    assert place.records["alone"]["other_seeds"] == {}


def test_the_report_summarises_over_seeds(place, capsys):
    assert report_main([str(place.folder / f"{seed}.json") for seed in "23"]) == 0
    told = capsys.readouterr().out
    line = next(
        line for line in told.splitlines() if "JS others" in line and "unlearned" in line and "coupled" not in line
    )
    coupled = sum(distances(place.records[seed], "unlearned", int(seed))[0]["value"] for seed in "23") / 2
    assert f"{coupled:.4g} [" in line
    assert "retrained, other seed" in told and "coupling" in told and "minus retrained" in told
    assert report_main([str(place.folder / "alone.json")]) == 0
    assert "over seeds" not in capsys.readouterr().out.lower()


def test_the_summary_over_seeds_is_written_next_to_the_table(place, capsys, tmp_path):
    files, path = [str(place.folder / f"{seed}.json") for seed in "23"], tmp_path / "table.csv"
    beside = tmp_path / "table_over_seeds.csv"
    for _ in range(2):  # an existing table of ours is overwritten
        assert report_main([*files, "--csv", str(path)]) == 0
    assert f"\nThe results over seeds are also in {beside}, " in capsys.readouterr().out
    ends = {"low": [""], "high": [""]}
    written = pd.read_csv(beside, keep_default_na=False, na_values=ends)
    pd.testing.assert_frame_equal(written, over_seeds(map(read_unlearned, files)).table, rtol=1e-14)
    assert path.read_text().startswith("dataset,model_class,seed,scenario")
    before = path.read_text()
    beside.write_text("mine")
    assert report_main([files[0], files[1], "--csv", str(path)]) == 2
    assert (
        capsys.readouterr().err
        == f"report: cannot write {beside}: it exists and is not a table that this program wrote; choose another path\n"
    )
    assert path.read_text() == before and beside.read_text() == "mine"
    assert report_main([str(place.folder / "alone.json"), "--csv", str(path)]) == 0, "there is no summary over seeds"


def test_a_rebuilt_model_is_also_compared_with_other_seeds(world, tmp_path_factory):
    folder = world(tmp_path_factory.mktemp("graph")).folder
    graph, records = ["--model", "LightGCN", *COMMON[2:]], []
    with inside(folder):
        for seed in "23":
            assert train_main([*graph, "--seed", seed]) == 0
            assert train_main([*graph, *RETRAIN, "--seed", seed]) == 0
        for seed, other in ("23", "32"):
            arguments = [*FORGETTING, "--seed", seed, "--other_seeds", other, "--scif_hessian_samples", "16"]
            assert unlearn_main([*graph, *arguments, "--result_file", f"{seed}.json"]) == 0
        records = [read_unlearned(f"{seed}.json") for seed in "23"]
    assert [len(distances(record, "rebuilt", 5 - record["seed"])) for record in records] == [1, 1]
    table = over_seeds(records).table
    rebuilt = table[(table["model"] == "rebuilt") & (table["measure"] == "JS others")].set_index("quantity")
    apart = [
        distances(record, kind, 5 - record["seed"])[0]["value"]
        for record in records
        for kind in ("rebuilt", "retrained")
    ]
    assert rebuilt.loc["excess", "mean"] == pytest.approx((apart[0] - apart[1] + apart[2] - apart[3]) / 2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--other_seeds", "5"),
            "other_seeds: there is no saved/model_BPR_seed_5_dataset_tiny_retrain_checkpoint_idx",
        ),
        (("--other_seeds", "5"), "retrain with --seed 5 and --forget_set_seed 2"),
        (("--other_seeds", "2"), "other_seeds: [2] should be distinct seeds without the run's own seed, 2"),
        (("--other_seeds", "3", "3"), "other_seeds: [3, 3] should be distinct seeds"),
    ],
)
def test_invalid_options_give_one_line_errors(place, capsys, arguments, told):
    with inside(place.folder):
        assert unlearn_main([*UNLEARN, *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_a_retrained_model_that_differs_in_more_than_the_seed_is_rejected(place, capsys):
    path = next(path for path in place.saved.glob("*_seed_3_*_match_3_*.pth") if "same_epoch" not in path.name)
    before = path.read_bytes()
    with inside(place.folder):
        again = [*COMMON, *RETRAIN, "--seed", "3", "--epochs", "2", "--overwrite", "--allow_other_reference"]
        assert train_main(again) == 0
        capsys.readouterr()
        assert unlearn_main([*UNLEARN, "--other_seeds", "3"]) == 2
    path.write_bytes(before)
    error = capsys.readouterr().err
    assert (
        "differs from the base not only in its seed: epochs is 2 in the file, 4 in the configuration" in error
        and error.count("\n") == 1
    )
