"""ERASE's documented commands on small data: each works, and none reports the values of another run."""

import json

import pytest
from tiny_tasks import furnish_clean, inside

from recbole.quick_start.main import make_forget_set_main, train_main, unlearn_main

COMMON = ("--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml", "--seed", "2")
FORGET = ("--sensitive_category", "odd", "--unlearning_fraction", "0.1")
SPAM = ("--spam", "--unlearning_fraction", "0.1", "--n_target_items", "2")
UNLEARN = ("--unlearning_algorithm", "scif", "--max_norm", "10.0")


@pytest.fixture
def run(tmp_path, capsys):
    """A function that runs a program in the folder; it returns the exit status and the written result."""
    data, _ = furnish_clean(tmp_path, "CF")
    (data / "sensitive_asins_odd.txt").write_text("".join(f"{item}\n" for item in range(1, 12, 2)))
    with inside(tmp_path):
        for asked in (FORGET, SPAM):
            assert make_forget_set_main(["--dataset", "tiny", "--seed", "2", *asked]) == 0

    def made(main, *arguments):
        result = tmp_path / "result.json"
        result.unlink(missing_ok=True)
        with inside(tmp_path):
            status = main([*COMMON, *arguments, "--result_file", "result.json"])
        return status, json.loads(result.read_text()) if result.exists() else None

    made.folder = tmp_path
    return made


def of_unlearned(record):
    return [(row["checkpoint"], row["metric"], row["k"], row["population"], row["masking"], row["value"])
            for row in record["metrics"] if row["model"] == "unlearned"]  # fmt: skip


@pytest.mark.parametrize("asked", [FORGET, SPAM], ids=["sensitive", "spam"])
def test_train_retrain_unlearn_and_evaluate(run, asked, capsys):
    planted = asked if asked is SPAM else ()
    assert run(train_main, *planted)[0] == 0
    for index in "0123":
        status, record = run(train_main, *asked, "--retrain_flag", "--retrain_checkpoint_idx_to_match", index)
        assert status == 0 and record["checkpoint"] == int(index)
    status, made = run(unlearn_main, *asked, *UNLEARN)
    assert status == 0 and made["config"]["max_norm"] == 10
    status, again = run(unlearn_main, *asked, *UNLEARN[:2], "--eval_only")
    assert status == 0 and of_unlearned(again) == of_unlearned(made), "the only variant is used, with a message"
    category = () if asked is FORGET else ("--sensitive_category", "odd")
    status, counted = run(unlearn_main, *asked, *category, *UNLEARN[:2], "--eval_only", "--sensitive_eval_only")
    assert status == 0 and set(of_unlearned(counted)) >= {
        row for row in of_unlearned(made) if row[1].startswith("avg_forgotten")
    }
    capsys.readouterr()
    assert run(unlearn_main, *asked, *UNLEARN[:2])[0] == 0, "the defaults are another run"
    status, other = run(unlearn_main, *asked, *UNLEARN[:2], "--eval_only")
    assert status == 0 and {
        row["settings"].split()[0] for row in other["metrics"] if row["model"] == "unlearned"
    }.isdisjoint({"max_norm_10"})
