"""Two runs at the same time in one folder: results are right and logs are complete, whatever they share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_identity import ASKING, Place

MANY = [pytest.param(2, id="few"), pytest.param(15, id="many", marks=pytest.mark.slow)]
"""Number of pairs of each kind; sixty pairs in total in the slow tests."""
COMMON = ("--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml")
FORGET = ("--forget_set", "asked.inter")


def run(folder, pairs):
    """Run pairs of jobs, and return their exit statuses."""
    jobs = folder / "jobs.json"
    jobs.write_text(json.dumps([[[str(folder), *job] for job in pair] for pair in pairs]))
    driver = Path(__file__).with_name("pair_driver.py")
    done = subprocess.run(
        [sys.executable, str(driver), str(jobs)], env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=500, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def train(*arguments, result):
    return ["train", *COMMON, *arguments, "--result_file", result]


def unlearn(*arguments, result):
    return ["unlearn", *COMMON, *FORGET, *arguments, "--result_file", result]


def numbers(folder, result, model):
    rows = json.loads((folder / result).read_text())["metrics"]
    return [(row["metric"], row["k"], row["value"]) for row in rows if row["model"] == model]


@pytest.fixture
def folder(tmp_path):
    Place(tmp_path)
    return tmp_path


def copy_base(folder, variant):
    base = next((folder / "saved").glob("*_best.pth"))
    (folder / "saved" / variant).mkdir()
    (folder / "saved" / variant / base.name).write_bytes(base.read_bytes())


@pytest.mark.parametrize("pairs", MANY)
def test_unlearning_runs(folder, pairs):
    """Half of the pairs have two different values of the damping; the two runs of the other pairs are equal."""
    assert run(folder, [[train(result="base.json")]]) == [[0]]
    dampings = [f"{1 + at}e-3" for at in range(pairs)]
    copy_base(folder, "alone")
    copy_base(folder, "twice")
    alone = [
        [unlearn("--damping", one, "--variant", "alone", result=f"alone_{one}.json")] for one in (*dampings, "0.02")
    ]
    different = [
        [
            unlearn("--damping", one, result=f"a_{one}.json"),
            unlearn("--damping", "0.02", "--overwrite", result=f"b_{one}.json"),
        ]
        for one in dampings
    ]
    identical = [
        [unlearn("--damping", one, "--variant", "twice", result=f"{name}_{one}.json") for name in "cd"]
        for one in dampings
    ]
    statuses = run(folder, [*alone, *different, *identical])
    assert statuses == [[0]] * (pairs + 1) + [[0, 0]] * 2 * pairs
    for one in dampings:
        wanted = numbers(folder, f"alone_{one}.json", "unlearned")
        for name in "acd":
            assert numbers(folder, f"{name}_{one}.json", "unlearned") == wanted
        assert numbers(folder, f"b_{one}.json", "unlearned") == numbers(folder, "alone_0.02.json", "unlearned")
    logs = list(folder.glob("log/**/*.requests.jsonl"))
    assert len(logs) == 3 * pairs + 2
    for log in logs:
        assert [json.loads(line)["index"] for line in log.read_text().splitlines()] == list(range(len(ASKING)))
    assert not list(folder.glob("saved/**/.*.lock"))


@pytest.mark.parametrize("pairs", MANY)
def test_training_runs(folder, pairs):
    """Half of the pairs have two learning rates, of which one run is rejected; the other pairs are equal."""
    rates = [f"{0.01 + at / 1000:.3f}" for at in range(pairs)]
    alone = [[train("--learning_rate", one, "--variant", f"alone_{one}", result=f"alone_{one}.json")] for one in rates]
    different = [
        [
            train("--learning_rate", rate, "--variant", f"pair_{at}", result=f"{name}_{at}.json")
            for name, rate in (("a", rates[at]), ("b", rates[at - 1]))
        ]
        for at in range(pairs)
    ]
    identical = [
        [train("--learning_rate", one, "--variant", f"same_{at}", result=f"{name}_{at}.json") for name in "cd"]
        for at, one in enumerate(rates)
    ]
    statuses = run(folder, [*alone, *different, *identical])
    assert statuses[:pairs] == [[0]] * pairs and statuses[2 * pairs :] == [[0, 0]] * pairs
    wanted = {one: of_test(folder, f"alone_{one}.json") for one in rates}
    for at, (one, both) in enumerate(zip(rates, statuses[pairs : 2 * pairs], strict=True)):
        assert sorted(both) == [0, 2], "the second run finds a file with other settings"
        name, made = (("a", one), ("b", rates[at - 1]))[both.index(0)]
        assert of_test(folder, f"{name}_{at}.json") == wanted[made]
        assert of_test(folder, f"c_{at}.json") == of_test(folder, f"d_{at}.json") == wanted[one]


def of_test(folder, result):
    """Return the values of a base model on the test rows; a run that waited has no validation rows of its own."""
    rows = json.loads((folder / result).read_text())["metrics"]
    return [(row["metric"], row["k"], row["value"]) for row in rows if row["split"] == "test"]
