"""The three programs run as commands: output, written files, and exit statuses."""

import csv
import hashlib
import http.server
import itertools
import json
import threading
from pathlib import Path

import pytest
import torch

from recbole.evaluator.table import COLUMNS
from recbole.report.columns import WHOLE_TEST, forgetting, matching

BASE = "model_BPR_seed_2_dataset_tiny_best"
SCENARIO = "unlearning_fraction_0.01_unlearning_sample_selection_method_sensitive_category_horror"
RETRAINED = f"model_BPR_seed_2_dataset_tiny_retrain_checkpoint_idx_to_match_3_{SCENARIO}"
STEM = f"model_BPR_seed_2_dataset_tiny_unlearning_algorithm_scif_{SCENARIO}"
UNLEARNED = [f"{STEM}_unlearn_epoch_{last}_retrain_checkpoint_idx_to_match_{r}" for r, last in enumerate((2, 4, 6, 8))]
KEYS = {"config", "epoch", "cur_step", "best_valid_score", "state_dict", "other_parameter", "optimizer"}
RETRAIN = ("--retrain_checkpoint_idx_to_match", "3")


def read(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def beside(folder, stem):
    """Return the record of a checkpoint without the digest of the checkpoint file, which is checked here."""
    record = read(folder / f"{stem}.json")
    assert record.pop("file_sha256") == hashlib.sha256((folder / f"{stem}.pth").read_bytes()).hexdigest()
    return record


def tensors(path):
    return torch.load(path, weights_only=True)["state_dict"]


def same(one, other):
    one, other = tensors(one), tensors(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def place(world, tmp_path_factory):
    return world(tmp_path_factory.mktemp("end_to_end"))


@pytest.fixture(scope="module")
def runs(place, run):
    """The results of the three programs, run one after another in one folder."""
    told = {}
    for name, script, arguments in (
        ("base", "run_recbole.py", ("--tensorboard", "True", "--hf_token", "hf_s3cr3t")),
        ("retrained", "run_recbole.py", RETRAIN),
        ("unlearned", "unlearn.py", ()),
    ):
        told[name] = run(place.folder, script, *arguments, "--result_file", f"results/{name}.json")
        assert told[name].status == 0, told[name].err
        assert told[name].err == ""
    return told


@pytest.fixture(scope="module")
def results(place, runs):
    return {name: read(place.folder / "results" / f"{name}.json") for name in runs}


def test_the_expected_files_are_on_disk(place, runs):
    stems = [BASE, RETRAINED, f"{RETRAINED}_same_epoch", "model_BPR_seed_2_dataset_tiny_retrained_best", *UNLEARNED]
    assert {path.name for path in place.saved.iterdir()} == {
        f"{stem}{end}" for stem in stems for end in (".pth", ".json")
    }
    logs = [path.name for path in (place.folder / "log" / "BPR").iterdir()]
    assert len(logs) == 3 and all(name.startswith("BPR-tiny-") and "-seed_2-" in name for name in logs)
    assert len(list((place.folder / "log_tensorboard").rglob("events.*"))) == 1
    assert (place.folder / "log" / f"{STEM}.requests.jsonl").exists()


def test_the_expected_lines_are_in_the_log(runs):
    for name in ("base", "retrained"):
        for line in (
            "epoch 0 training [time: ",
            "best valid : {'recall@10'",
            "Saving current: saved/",
            "test result: {",
        ):
            assert f"\n{line}" in runs[name].out
        assert "Finished training, best eval result in epoch " in runs[name].out
    for stem in UNLEARNED:
        assert f"\nSaving current: saved/{stem}.pth" in runs["unlearned"].out
        assert f"\nResults for model {stem}.pth: " in runs["unlearned"].out
    assert "9 requests, " in runs["unlearned"].out
    assert "[Top-10] Users with sensitive items: " in runs["unlearned"].out


def test_checkpoints_have_recboles_keys_and_load_without_code(place, runs):
    for stem in (BASE, RETRAINED, *UNLEARNED):
        content = torch.load(place.saved / f"{stem}.pth", weights_only=True)
        assert set(content) >= KEYS
        assert content["config"]["model"] == "BPR" and content["config"]["embedding_size"] == 8
        assert set(content["state_dict"]) == {"user_embedding.weight", "item_embedding.weight"}
    for at, stem in enumerate(UNLEARNED):
        content = torch.load(place.saved / f"{stem}.pth", weights_only=True)
        assert (content["epoch"], content["cur_step"], content["best_valid_score"]) == ((2, 4, 6, 8)[at], 0, -torch.inf)


def test_result_files(place, results):
    assert [results[name]["kind"] for name in results] == ["base", "retrained", "unlearned"]
    for name, record in results.items():
        assert record["arguments"][:2] == ["--model", "BPR"] and f"results/{name}.json" in record["arguments"]
        assert record["seed"] == 2 and record["config"]["learning_rate"] == 0.02
        assert record["dataset"]["users"] == 30 and record["dataset"]["interactions"] == len(place.rows)
        assert record["timing"]["load_seconds"] > 0 and record["timing"]["evaluate_seconds"] > 0
        assert record["timing"]["peak_rss_mib"] > 50
        assert record["versions"]["torch"] == torch.__version__
        assert record["metrics"] and all(tuple(row) == COLUMNS for row in record["metrics"])
    assert results["base"]["timing"]["epochs"] == len(results["base"]["timing"]["epoch_seconds"]) == 4
    assert results["unlearned"]["timing"]["speedup_over_retraining"] > 0


def test_requests_and_masks(place, results):
    sha256 = hashlib.sha256(place.forget_set.read_bytes()).hexdigest()
    mask = {"forget_set_sha256": sha256, "requests_done": 9}
    assert results["base"]["mask"] is None
    assert results["retrained"]["mask"] == results["unlearned"]["mask"] == mask
    assert results["retrained"]["requests"] == {"total": 9, "done": 9}
    requests = results["unlearned"]["requests"]
    assert (requests["total"], requests["done"], requests["timeout"], requests["diverged"]) == (9, 9, 0, 0)
    assert requests["applied"] + requests["skipped"] == 9 and requests["applied"] > 5
    records = [json.loads(line) for line in (place.folder / "log" / f"{STEM}.requests.jsonl").read_text().splitlines()]
    assert [record["entity"] for record in records] == place.users
    assert sum(record["rows"] for record in records) == len(place.asked)


def rows_of(record, **wanted):
    return [row for row in record["metrics"] if all(row[key] == value for key, value in wanted.items())]


def test_each_table_column_matches_one_result_row(results):
    for kind, checkpoint in itertools.product(("base", "unlearned"), range(4)):
        rows = rows_of(results["unlearned"], model=kind, checkpoint=checkpoint)
        found = {heading: len(matching(rows, wanted)) for heading, wanted in forgetting(10).items()}
        distances = (
            {"JS requesting", "JS others"} if checkpoint < 3 else set()
        )  # only the model of checkpoint 3 was retrained
        assert found == {heading: int(heading not in distances) for heading in forgetting(10)}
    for about in (WHOLE_TEST, {"split": "valid"}):
        assert len(matching(results["base"]["metrics"], {"metric": "recall", "k": 10, **about})) == 1


def test_the_result_rows_are_complete(results):
    for name in ("base", "retrained"):
        everybody = rows_of(results[name], split="test", population="all", masking="retained", metric="recall")
        assert {row["k"] for row in everybody} == {10, 20}
        assert rows_of(results[name], split="valid", metric="ndcg", k=10, model=name)
    unlearned = results["unlearned"]
    for model in ("base", "retrained", "unlearned"):
        found = rows_of(unlearned, model=model, metric="recall", k=10, population="all", view="all")
        assert {row["checkpoint"] for row in found} == ({3} if model == "retrained" else {0, 1, 2, 3})
        assert all(row["n_rows"] > 20 and -1 < row["value"] < 1 for row in found)
        assert all(row["value"] >= 0 for row in found if row["minus"] is None)
    assert {row["algorithm"] for row in rows_of(unlearned, model="unlearned")} == {"scif"}
    distances = [row for row in unlearned["metrics"] if row["reference"]]
    assert {row["checkpoint"] for row in distances} == {3}
    assert all(row["reference"].startswith(f"{RETRAINED}.pth sha256:") for row in distances)
    asked = rows_of(unlearned, model="unlearned", population="requesting", metric="pct_users_with_sensitive", k=10)
    assert {row["checkpoint"]: row["n_rows"] for row in asked} == {0: 3, 1: 5, 2: 7, 3: 9}


def test_the_same_model_has_the_same_values_in_every_program(results):
    def answers(name, model, **more):
        found = rows_of(results[name], model=model, split="test", population="all", masking="retained", **more)
        return {(row["metric"], row["k"]): row["value"] for row in found if row["metric"] in ("recall", "ndcg")}

    assert answers("base", "base", view="all") == answers("unlearned", "base", view="all", checkpoint=0)
    for view in ("all", "current"):
        retrained = answers("retrained", "retrained", view=view)
        assert retrained and retrained == answers("unlearned", "retrained", view=view)


def test_every_checkpoint_has_a_record(place, results):
    for name, stem in (("base", BASE), ("retrained", RETRAINED)):
        assert beside(place.saved, stem) == results[name]
    best = beside(place.saved, "model_BPR_seed_2_dataset_tiny_retrained_best")
    assert best == results["retrained"] | {"copy_of": f"{RETRAINED}.pth"}
    assert same(place.saved / f"{RETRAINED}.pth", place.saved / "model_BPR_seed_2_dataset_tiny_retrained_best.pth")
    for checkpoint, stem in enumerate(UNLEARNED):
        record = read(place.saved / f"{stem}.json")
        assert (record["kind"], record["checkpoint"]) == ("unlearned", checkpoint)
        assert record["requests"]["done"] == record["mask"]["requests_done"] == (3, 5, 7, 9)[checkpoint]
        assert record["metrics"] == rows_of(results["unlearned"], model="unlearned", checkpoint=checkpoint)


def test_base_retrained_and_unlearned_models_differ(place, runs):
    base, retrained = (tensors(place.saved / f"{stem}.pth") for stem in (BASE, RETRAINED))
    assert not torch.equal(base["item_embedding.weight"], retrained["item_embedding.weight"])
    before = base["user_embedding.weight"]
    for checkpoint, stem in enumerate(UNLEARNED):
        after = tensors(place.saved / f"{stem}.pth")
        assert torch.equal(after["item_embedding.weight"], base["item_embedding.weight"])
        moved = (after["user_embedding.weight"] != before).any(dim=1).sum()
        assert 0 < moved <= (3, 5, 7, 9)[checkpoint]


def test_a_second_evaluation_of_saved_models_gives_the_same_values(place, results, here):
    written = {path: path.read_bytes() for path in place.saved.iterdir()}
    for name, script, arguments in (
        ("base", "run_recbole.py", ()),
        ("retrained", "run_recbole.py", RETRAIN),
        ("unlearned", "unlearn.py", ()),
    ):
        told = here(place.folder, script, *arguments, "--eval_only", "--result_file", "again.json")
        assert (told.status, told.err) == (0, "")
        test_rows = [row for row in results[name]["metrics"] if row["split"] != "valid"]
        assert read(place.folder / "again.json")["metrics"] == test_rows
    assert {path: path.read_bytes() for path in place.saved.iterdir()} == written


def test_only_the_sensitive_items_are_evaluated(place, runs, here):
    for script, arguments, name, kind in (
        ("run_recbole.py", ("--sensitive_category", "horror"), "original", "base"),
        ("run_recbole.py", RETRAIN, "checkpoint_3_retrain", "retrained"),
        ("unlearn.py", (), "unlearn_scif", "unlearned"),
    ):
        options = ("--eval_only", "--sensitive_eval_only", "--result_file", "again.json")
        told = here(place.folder, script, *arguments, *options)
        assert (told.status, told.err) == (0, "")
        assert not [row for row in read(place.folder / "again.json")["metrics"] if row["metric"] == "recall"]
        path = place.folder / "log" / f"sensitive_eval_tiny_BPR_seed_2_category_horror_{name}.csv"
        table = list(csv.DictReader(path.open()))
        checkpoints = ["0", "1", "2", "3"] if kind == "unlearned" else ["3" if kind == "retrained" else ""]
        wanted = list(itertools.product(checkpoints, ("10", "20")))
        assert [(row["checkpoint_idx"], row["topk"]) for row in table] == wanted
        for row in table:
            assert (row["eval_type"], row["sensitive_category"], row["dataset"]) == (kind, "horror", "tiny")
            assert float(row["pct_users_with_sensitive"]) == pytest.approx(
                100 * int(row["users_with_sensitive"]) / int(row["total_users"])
            )
    told = here(place.folder, "run_recbole.py", "--eval_only", "--sensitive_eval_only")
    assert told.status == 2 and "needs --sensitive_category" in told.err and told.err.count("\n") == 1


def test_running_out_of_time_gives_status_3_and_all_files(place, runs, world, here, tmp_path):
    other = world(tmp_path)
    other.saved.mkdir()
    (other.saved / f"{BASE}.pth").write_bytes((place.saved / f"{BASE}.pth").read_bytes())
    told = here(other.folder, "unlearn.py", "--max_training_hours", "1e-12", "--result_file", "late.json")
    assert told.status == 3
    assert "timeout: time was up" in told.out and told.err == ""
    requests = read(other.folder / "late.json")["requests"]
    assert requests["timeout"] > 5 and requests["applied"] == 0 and requests["done"] == 9
    assert all(same(other.saved / f"{stem}.pth", place.saved / f"{BASE}.pth") for stem in UNLEARNED)
    assert rows_of(read(other.folder / "late.json"), model="unlearned", checkpoint=3, metric="recall")


def test_the_same_commands_give_identical_files(place, runs, world, here, tmp_path):
    """In another process and folder, and after other random numbers were drawn."""
    other = world(tmp_path)
    torch.manual_seed(99)
    for script, arguments in (("run_recbole.py", ()), ("run_recbole.py", RETRAIN), ("unlearn.py", ())):
        assert here(other.folder, script, *arguments).status == 0
    for stem in (BASE, RETRAINED, *UNLEARNED):
        assert same(other.saved / f"{stem}.pth", place.saved / f"{stem}.pth")


# --- the Hub ------------------------------------------------------------------------------------------------------


class Hub(http.server.BaseHTTPRequestHandler):
    """A stand-in for the Hugging Face Hub that serves one file."""

    content, seen = b"", []

    def do_HEAD(self):
        self.seen.append((self.path, self.headers.get("Authorization")))
        if not self.path.endswith("/owner/repo/resolve/main/models/best.pth"):
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return False
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        return True

    def do_GET(self):
        if self.do_HEAD():
            self.wfile.write(self.content)

    def log_message(self, *_):
        """Suppress the log of requests."""


@pytest.fixture
def hub(place, runs):
    handler = type("Handler", (Hub,), {"content": (place.saved / f"{BASE}.pth").read_bytes(), "seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler.seen
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_is_downloaded_from_the_hub(place, results, world, run, hub, tmp_path):
    address, seen = hub
    other = world(tmp_path / "run")
    environment = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "*"}
    options = ("--eval_only", "--hf_token", "hf_s3cr3t", "--hf_cache_dir", str(tmp_path / "cache"))
    told = run(
        other.folder, "run_recbole.py", "--hf_model_path", "hf://owner/repo/models/best.pth", *options,
        "--result_file", "hub.json", **environment,
    )  # fmt: skip
    assert told.status == 0, told.err
    assert ("Bearer hf_s3cr3t" in {header for _, header in seen}) and not other.saved.exists()
    found = read(other.folder / "hub.json")
    assert found["metrics"] == [row for row in results["base"]["metrics"] if row["split"] == "test"]
    told = run(other.folder, "run_recbole.py", "--hf_model_path", "hf://owner/repo/none.pth", *options, **environment)
    assert told.status == 2 and told.err.count("\n") == 1 and "hf://owner/repo/none.pth" in told.err
    for told_text in (told.out, told.err):
        assert "s3cr3t" not in told_text
    assert_nowhere(tmp_path, b"s3cr3t")


def test_no_file_contains_the_token(place, runs):
    assert "s3cr3t" not in runs["base"].out
    assert_nowhere(place.folder, b"s3cr3t")


def assert_nowhere(folder, secret):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if secret in path.read_bytes()]
