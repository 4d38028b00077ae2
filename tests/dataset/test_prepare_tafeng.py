"""`dataset/tafeng/prepare.py`, run as a command without network."""

import json
import os
import runpy
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from recbole.scenario.files.forget_set_reader import read_forget_set
from recbole.utils import sha256_of_file

SCRIPT = Path(__file__).parents[2] / "dataset/tafeng/prepare.py"
CATEGORIES = ("middling", "tuning", "middling_repeated", "tuning_repeated")
REFERENCE = os.environ.get("ERASE_REFERENCE_DATA")


def prepare(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def source(tmp_path):
    """50 users with 2 to 8 baskets each, of 60 items, of which the first are popular."""
    draw = np.random.default_rng(1)
    weights = 1 / np.arange(1, 61)
    sizes = draw.integers(2, 9, size=50)
    pick = lambda: draw.choice(60, 8, replace=False, p=weights / weights.sum()).tolist()  # noqa: E731
    baskets = {str(user): [pick() for _ in range(size)] for user, size in enumerate(sizes)}
    (tmp_path / "source").mkdir()
    (tmp_path / "source/tafeng_merged.json").write_text(json.dumps(baskets))
    return tmp_path / "source"


def test_writes_the_category_the_forget_sets_and_a_subset(source, tmp_path):
    done = prepare("--from", source, "--output", tmp_path / "tafeng")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tafeng_merged.json is NOT identical to the published file: 50 users" in done.stdout
    raw = source / "tafeng_merged.json"
    assert (tmp_path / "tafeng/tafeng_merged.json").read_bytes() == raw.read_bytes()
    baskets = {user: own for user, own in json.loads(raw.read_text()).items() if len(own) >= 4}
    listed = set(map(int, (tmp_path / "tafeng/sensitive_asins_middling.txt").read_text().split()))
    counts = np.bincount([item for own in baskets.values() for basket in own for item in basket], minlength=60)
    ranked = sorted(range(60), key=lambda item: (-counts[item], item))
    tuning = set(map(int, (tmp_path / "tafeng/sensitive_asins_tuning.txt").read_text().split()))
    assert len(listed) == len(tuning) == 1 and listed | tuning <= set(ranked[6:18]) and not listed & tuning
    assert len(list((tmp_path / "tafeng").glob("*unlearn_pairs*"))) == 4 * 5 * 4
    sets = sorted((tmp_path / "tafeng").glob("*unlearn_pairs*middling_seed*"))
    assert len(sets) == 5 * 4
    for path in sets:
        users = json.loads(path.read_text())
        assert users and set(users) <= set(baskets)
        for user in users:
            left = [set(basket) - listed for basket in baskets[user]]
            assert left != [set(basket) for basket in baskets[user]] and sum(map(bool, left)) >= 4
    for path in (tmp_path / "tafeng").glob("*unlearn_pairs*middling_repeated_seed*"):
        assert path.read_text().count("\n") > 1
        for user, item in (line.split("\t") for line in path.read_text().splitlines()[1:]):
            assert {int(item)} == listed and sum(int(item) in basket for basket in baskets[user]) >= 2
    again = prepare("--output", tmp_path / "tafeng")  # the data exists: nothing is downloaded
    assert (again.returncode, again.stdout) == (0, done.stdout)
    n_users = len(baskets)
    for share, name, size in (("20", "tafeng_20", 20), ("0.5", "tafeng_test", n_users // 2)):
        out = tmp_path / f"subset_{share}"
        done = prepare("--from", source, "--output", out, "--subset", share, "--seed", 3)
        assert (done.returncode, done.stderr) == (0, "")
        subset = json.loads((out / f"{name}_merged.json").read_text())
        assert len(subset) == size and all(baskets[user] == own for user, own in subset.items())
        assert len(list(out.glob(f"{name}_unlearn_pairs*"))) == 5 * 4 * len(list(out.glob("sensitive_asins_*")))


def test_a_category_without_eligible_users_is_left_out(tmp_path):
    baskets = {str(user): [[10 * user + place] for place in range(5)] for user in range(4)}
    (tmp_path / "tafeng_merged.json").write_text(json.dumps(baskets))
    done = prepare("--from", tmp_path, "--output", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no user can request to forget them: categories middling_repeated, tuning_repeated" in done.stdout
    lists = {path.name for path in (tmp_path / "out").glob("sensitive_asins_*")}
    assert lists == {"sensitive_asins_middling.txt", "sensitive_asins_tuning.txt"}


def test_a_subset_is_a_data_set_of_its_own(source, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["prepare.py", "--subset", "1000"])
    script = runpy.run_path(str(SCRIPT))
    options = script["steps"].command_line("", SCRIPT.parent, "", by_number=True)
    assert (options.name, options.output, options.subset) == (
        "tafeng_1000",
        SCRIPT.parent.with_name("tafeng_1000"),
        1000,
    )


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ('{"1": [[1], [-2]]}', (), "user '1', basket 2: item -2 is not a whole number from 0 to 2^63 - 1"),
        ('{"1": [[1], [2]]}', (), "no user has 4 baskets or more"),
        ('{"1": [[1], [2], [3], [4]]}', ("--subset", 2), "--subset: the data have 1 users, fewer than 2"),
        (
            '{"1": [[1], [2], [3], [4]]}',
            ("--subset", "x"),
            "--subset: should be a share above 0, at most 1, such as 0.01, or a number of",
        ),
        ('{"1": [[1], [1], [1], [1]]}', (), "only 1 different items, too few to draw the category 'middling'"),
        (
            '{"1": [[1], [2], [3], [4]]}',
            (),
            "to forget (only users who keep at least 4 baskets without them may submit requests)",
        ),
        ('{"1": [[1], [2], [3], [4]]}', ("--rating_threshold", 3), "--rating_threshold: tafeng has no ratings"),
        (None, (), "cannot read"),
    ],
)
def test_errors_leave_no_files(tmp_path, monkeypatch, capsys, content, arguments, message):
    (tmp_path / "source").mkdir()
    if content is not None:
        (tmp_path / "source/tafeng_merged.json").write_text(content)
    command = ["prepare.py", "--from", tmp_path / "source", "--output", tmp_path / "out", *arguments]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not list(tmp_path.glob("out*"))


@pytest.mark.skipif(REFERENCE is None, reason="needs the reference data")
def test_real_data(tmp_path):
    done = prepare("--from", Path(REFERENCE) / "data/tafeng", "--output", tmp_path / "tafeng")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tafeng_merged.json is identical to the published file: 13,858 users, 91,227 baskets" in done.stdout
    assert tables(done) == [
        ["middling", "240", "12163", "125/243", "246/488", "487/974", "1153/2436"],
        ["tuning", "240", "12350", "124/244", "228/488", "451/977", "1100/2435"],
        ["middling_repeated", "240", "2405", "95/243", "188/487", "353/974", "877/2405"],
        ["tuning_repeated", "240", "2440", "78/243", "169/487", "348/975", "878/2436"],
    ]
    listed = {category: (tmp_path / f"tafeng/sensitive_asins_{category}.txt").read_text() for category in CATEGORIES}
    assert listed["middling"] == listed["middling_repeated"] and listed["tuning"] == listed["tuning_repeated"]
    assert not set(listed["middling"].split()) & set(listed["tuning"].split())
    for category in CATEGORIES:
        sets = [
            read_forget_set(path, "NBR").entities
            for path in sorted((tmp_path / "tafeng").glob(f"*_category_{category}_seed_5_*"))
        ]
        assert len(sets) == len({len(own) for own in sets}) == 4
        assert all(large[: len(small)] == small for small, large in pairwise(sets))
    done = prepare("--output", tmp_path / "tafeng_1000", "--from", tmp_path / "tafeng", "--subset", 1000, "--seed", 2)
    assert tables(done) == [
        ["middling", "235", "1269", "10/24", "24/50", "41/97", "101/243"],
        ["tuning", "234", "1273", "14/25", "25/49", "47/105", "104/243"],
        ["middling_repeated", "235", "243", "11/26", "19/49", "38/99", "95/243"],
        ["tuning_repeated", "234", "275", "8/24", "13/48", "31/97", "85/246"],
    ]
    digest = "357cecad5ee9d84aba2e90484659c29bceb71d95731485a303d91d5e796f89cb"
    assert sha256_of_file(tmp_path / "tafeng_1000/tafeng_1000_merged.json") == digest


def tables(done):
    """Return the lines of the tables of requests and of interactions, as lists of words."""
    return [words for words in map(str.split, done.stdout.splitlines()) if words and words[0] in CATEGORIES]
