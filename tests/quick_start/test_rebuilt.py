"""The kind ``rebuilt``: the base with its graph rebuilt under a checkpoint's mask, as a baseline of an algorithm."""

import json
from types import SimpleNamespace

import pytest
import torch
from tiny_tasks import inside

from recbole.quick_start.main import train_main, unlearn_main
from recbole.report.comparison import comparison

COMMON = ("--dataset", "tiny", "--config_files", "tiny.yaml", "--tensorboard", "False")
FORGETTING = ("--sensitive_category", "horror", "--unlearning_fraction", "0.01")


def runs(place, model, *arguments):
    """Train, retrain and unlearn; return the record and the log of the unlearning run."""
    with inside(place.folder):
        assert train_main(["--model", model, *COMMON]) == 0
        assert train_main(["--model", model, *COMMON, *FORGETTING, "--retrain_checkpoint_idx_to_match", "3"]) == 0
        assert unlearn_main(["--model", model, *COMMON, *FORGETTING, *arguments, "--result_file", "r.json"]) == 0
    log = "".join(path.read_text() for path in (place.folder / "log" / model).glob("*"))
    return SimpleNamespace(record=json.loads((place.folder / "r.json").read_text()), log=log, folder=place.folder)


@pytest.fixture(scope="module")
def of_graph(world, tmp_path_factory):
    return runs(world(tmp_path_factory.mktemp("graph")), "LightGCN", "--scif_hessian_samples", "16")


def values(record, kind, checkpoint):
    about = ("split", "view", "population", "masking", "metric", "k", "minus", "reference")
    rows = [row for row in record["metrics"] if row["model"] == kind and row["checkpoint"] == checkpoint]
    return {tuple(row[name] for name in about): row["value"] for row in rows}


def test_it_has_all_rows_of_the_unlearned_model_and_precedes_it(of_graph):
    rows = of_graph.record["metrics"]
    for checkpoint in range(4):
        rebuilt = values(of_graph.record, "rebuilt", checkpoint)
        assert rebuilt.keys() == values(of_graph.record, "unlearned", checkpoint).keys()
        assert rebuilt != values(of_graph.record, "base", checkpoint)
    assert list(dict.fromkeys(row["model"] for row in rows))[:4] == ["base", "rebuilt", "unlearned", "retrained"]
    assert {row["settings"] for row in rows if row["model"] == "rebuilt"} == {
        row["settings"] for row in rows if row["model"] == "base"
    }
    assert {row["algorithm"] for row in rows if row["model"] == "rebuilt"} == {None}
    timing = of_graph.record["timing"]
    assert [len(timing[name]) for name in ("rebuilt_seconds", "rebuilt_cpu_seconds")] == [4, 4]
    assert min(timing["rebuilt_seconds"]) > 0
    assert "equals base" not in of_graph.log


def test_it_has_the_parameters_of_the_base_and_the_graph_of_the_mask(of_graph):
    """An unlearned model whose weights are replaced by the base's equals the rebuilt one."""
    saved = of_graph.folder / "saved"
    base = torch.load(next(saved.glob("*_dataset_tiny_best.pth")), weights_only=True)["state_dict"]
    paths = list(saved.rglob("*_unlearn_epoch_*.pth"))
    assert len(paths) == 4
    before = {path: path.read_bytes() for path in paths}
    for path in paths:
        torch.save(torch.load(path, weights_only=True) | {"state_dict": base}, path)
        path.with_suffix(".json").unlink()  # the record has the digest of the original file
    with inside(of_graph.folder):
        arguments = ["--model", "LightGCN", *COMMON, *FORGETTING, "--eval_only", "--result_file", "same.json"]
        assert unlearn_main(arguments) == 0
    for path, content in before.items():
        path.write_bytes(content)
    found = json.loads((of_graph.folder / "same.json").read_text())
    for checkpoint in range(4):
        rebuilt = values(found, "rebuilt", checkpoint)
        assert rebuilt == values(found, "unlearned", checkpoint) == values(of_graph.record, "rebuilt", checkpoint)
    assert "nothing_changed" in found["verdict"]


def test_the_table_shows_it_with_its_cost(of_graph):
    table = comparison([of_graph.folder / "r.json"]).table
    last = table[table["checkpoint"] == 3]
    assert last["model"].tolist()[:4] == ["base", "rebuilt", "unlearned", "retrained"]
    rebuilt = last[last["model"] == "rebuilt"].iloc[0]
    assert rebuilt["s/request"] == of_graph.record["timing"]["rebuilt_seconds"][3]
    assert rebuilt["CPU s/request"] == of_graph.record["timing"]["rebuilt_cpu_seconds"][3]
    assert rebuilt["NDCG@10"] > 0 and rebuilt["JS requesting"] > 0


def test_for_a_model_without_a_graph_one_line_says_that_it_equals_base(world, tmp_path):
    found = runs(world(tmp_path), "BPR")
    assert found.log.count("the scores of BPR depend only on its parameters: rebuilt equals base") == 1
    assert "rebuilt" not in {row["model"] for row in found.record["metrics"]}
    assert "rebuilt_seconds" not in found.record["timing"]


def test_a_model_of_counts_has_no_rebuilt_row_and_no_message(world, tmp_path):
    found = runs(world(tmp_path), "Pop", "--unlearning_algorithm", "exact")
    assert {row["model"] for row in found.record["metrics"]} == {"base", "unlearned", "retrained"}
    assert "equals base" not in found.log
