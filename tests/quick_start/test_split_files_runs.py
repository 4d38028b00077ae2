"""The programs with a split in files: train, retrain, unlearn, and make forget sets."""

import json

import pytest
import torch
from tiny_tasks import inside

from recbole.quick_start.main import make_forget_set_main

INDEX = ("--retrain_checkpoint_idx_to_match", "3")
SPLIT = ("--benchmark_filename", "[train, valid, test]")
BOTH = ("--benchmark_filename", "[train_all, test]")
PARTS = {"train": (0, 1, 2, 3, 4, 5), "valid": (6,), "test": (7, 8, 9), "train_all": (0, 1, 2, 3, 4, 5, 6)}


@pytest.fixture
def place(world, tmp_path):
    """The small data in split files without times; every tenth row of a user is in validation or test."""
    place = world(tmp_path)
    for part, places in PARTS.items():
        rows = [row[:2] for at, row in enumerate(place.rows) if at % 10 in places]
        lines = "".join(f"{user}\t{item}\n" for user, item in rows)
        (place.data / f"tiny.{part}.inter").write_text(f"user_id:token\titem_id:token\n{lines}")
    settings = (place.folder / "tiny.yaml").read_text().replace(", timestamp]", "]")
    (place.folder / "tiny.yaml").write_text(settings)
    return place


def test_exact_unlearning_equals_retraining(place, here):
    """The split is given for training; unlearning takes it from the base."""
    exact = ("--unlearning_algorithm", "exact", "--result_file", "result.json")
    for script, more in (("run_recbole.py", SPLIT), ("run_recbole.py", SPLIT + INDEX), ("unlearn.py", exact)):
        done = here(place.folder, script, "--model", "EASE", *more)
        assert done.status == 0, done.err
    result = json.loads((place.folder / "result.json").read_text())
    asked, train = set(place.asked), {row[:2] for at, row in enumerate(place.rows) if at % 10 in PARTS["train"]}
    users = {user for user, _ in asked & train}
    assert result["requests"]["applied"] == len(users) > 0
    last = [row for row in result["metrics"] if row["checkpoint"] == 3 and "divergence" in row["metric"]]
    unlearned = [row["value"] for row in last if row["model"] == "unlearned" and row["minus"] is None]
    base = [row["value"] for row in last if row["model"] == "base" and row["minus"] is None]
    assert unlearned and max(map(abs, unlearned)) < 1e-8 < max(base)


def test_every_test_row_of_a_user_is_evaluated(place, here):
    done = here(place.folder, "run_recbole.py", *SPLIT, "--result_file", "result.json")
    assert done.status == 0, done.err
    rows = json.loads((place.folder / "result.json").read_text())["metrics"]
    tested = [row[:2] for at, row in enumerate(place.rows) if at % 10 in PARTS["test"]]
    counts = {row["n_people"] for row in rows if row["split"] == "test" and row["metric"].startswith("recall")}
    assert counts == {len({user for user, _ in tested})}


def test_the_split_is_part_of_the_settings_and_is_reported(place, here):
    assert here(place.folder, "run_recbole.py", *SPLIT).status == 0
    other = here(place.folder, "run_recbole.py", *BOTH)
    assert other.status == 2 and "benchmark_filename" in other.err and other.err.count("\n") == 1
    assert here(place.folder, "run_recbole.py", *BOTH, "--variant", "all").status == 0


def test_without_validation_the_last_epoch_is_kept(place, here):
    done = here(place.folder, "run_recbole.py", *BOTH)
    assert done.status == 0, done.err
    path = next(place.saved.glob("*_best.pth"))
    record = json.loads(path.with_suffix(".json").read_text())
    assert (record["timing"]["best_epoch"], record["timing"]["best_valid"]) == (3, {})
    assert torch.load(path, weights_only=True)["meta"]["settings"]["benchmark_filename"] == ["train_all", "test"]


def make(place, *words):
    """Run make_forget_set.py on the small world."""
    with inside(place.folder):
        assert make_forget_set_main(["--dataset", "tiny", *words]) == 0


def test_a_forget_set_is_sampled_from_all_rows(place):
    make(place, "--sensitive_category", "horror", "--unlearning_fraction", "0.05", "--seed", "3")
    path = next(place.data.glob("*seed_3_unlearning_fraction_0.05.inter"))
    asked = {tuple(line.split("\t")[:2]) for line in path.read_text().splitlines()[1:]}
    assert asked <= {row[:2] for row in place.rows} and len(asked) >= 0.05 * len(place.rows)


def test_spam_joins_the_training_rows(place, here):
    spam = ("--unlearning_fraction", "0.1", "--n_target_items", "2")
    make(place, "--spam", *spam)
    done = here(place.folder, "run_recbole.py", *SPLIT, "--spam", "True", *spam)
    assert done.status == 0, done.err
    assert "fake" in done.out
