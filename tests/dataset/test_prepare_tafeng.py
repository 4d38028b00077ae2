"""The preparation of Ta-Feng as users run it: a process of its own, no network."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recbole.utils import sha256_of_file

SCRIPT = Path(__file__).parents[2] / "dataset/tafeng/prepare.py"
REFERENCE = os.environ.get("ERASE_REFERENCE_DATA")


def prepare(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def source(tmp_path):
    """50 users with 2 to 8 baskets of 60 items, popular ones first."""
    draw = np.random.default_rng(1)
    weights = 1 / np.arange(1, 61)
    sizes = draw.integers(2, 9, size=50)
    pick = lambda: draw.choice(60, 4, replace=False, p=weights / weights.sum()).tolist()  # noqa: E731
    baskets = {str(user): [pick() for _ in range(size)] for user, size in enumerate(sizes)}
    (tmp_path / "source").mkdir()
    (tmp_path / "source/tafeng_merged.json").write_text(json.dumps(baskets))
    return tmp_path / "source"


def test_writes_the_category_the_sets_and_a_subset(source, tmp_path):
    done = prepare("--from", source, "--output", tmp_path / "tafeng")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tafeng_merged.json is NOT that of the published collection; 50 users" in done.stdout
    raw = source / "tafeng_merged.json"
    assert (tmp_path / "tafeng/tafeng_merged.json").read_bytes() == raw.read_bytes()
    baskets = {user: own for user, own in json.loads(raw.read_text()).items() if len(own) >= 4}
    listed = set(map(int, (tmp_path / "tafeng/sensitive_asins_middling.txt").read_text().split()))
    counts = np.bincount([item for own in baskets.values() for basket in own for item in basket], minlength=60)
    ranked = sorted(range(60), key=lambda item: (-counts[item], item))
    assert len(listed) == 1 and listed <= set(ranked[6:18])
    sets = sorted((tmp_path / "tafeng").glob("*unlearn_pairs*"))
    assert len(sets) == 5 * 4
    for path in sets:
        users = json.loads(path.read_text())
        assert users and set(users) <= set(baskets)
        for user in users:
            left = [set(basket) - listed for basket in baskets[user]]
            assert left != [set(basket) for basket in baskets[user]] and sum(map(bool, left)) >= 4
    again = prepare("--output", tmp_path / "tafeng")  # the data is there: nothing is fetched
    assert (again.returncode, again.stdout) == (0, done.stdout)
    n_users = len(baskets)
    for share, name, size in (("20", "tafeng_20", 20), ("0.5", "tafeng_test", n_users // 2)):
        out = tmp_path / f"subset_{share}"
        done = prepare("--from", source, "--output", out, "--subset", share, "--seed", 3)
        assert (done.returncode, done.stderr) == (0, "")
        subset = json.loads((out / f"{name}_merged.json").read_text())
        assert len(subset) == size and all(baskets[user] == own for user, own in subset.items())
        assert len(list(out.glob(f"{name}_unlearn_pairs*"))) == 5 * 4


def test_subset_is_beside_the_data_set(source, monkeypatch):
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
        ('{"1": [[1], [-2]]}', (), "tafeng_merged.json: user '1', basket 2: item -2 is not a whole number from 0 on"),
        ('{"1": [[1], [2]]}', (), "nobody has 4 baskets"),
        ('{"1": [[1], [2], [3], [4]]}', ("--subset", 2), "--subset: 2 users are more than the 1 that there are"),
        (
            '{"1": [[1], [2], [3], [4]]}',
            ("--subset", "x"),
            "--subset: a share from 0 to 1, such as 0.01, or a number of",
        ),
        ('{"1": [[1], [1], [1], [1]]}', (), "1 different items are too few to draw 'middling' from"),
        ('{"1": [[1], [2], [3], [4]]}', (), "asked for (only people who keep 4 baskets without them may ask)"),
        ('{"1": [[1], [2], [3], [4]]}', ("--rating_threshold", 3), "--rating_threshold: tafeng has no ratings"),
        (None, (), "cannot read"),
    ],
)
def test_mistakes_leave_nothing_behind(tmp_path, monkeypatch, capsys, content, arguments, message):
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
    assert "tafeng_merged.json is that of the published collection; 13,858 users, 91,227 baskets" in done.stdout
    assert done.stdout.split()[-7:] == ["middling", "240", "12163", "125/243", "246/488", "487/974", "1153/2436"]
    done = prepare("--output", tmp_path / "tafeng_1000", "--from", tmp_path / "tafeng", "--subset", 1000, "--seed", 2)
    assert done.stdout.split()[-7:] == ["middling", "235", "1269", "10/24", "24/50", "41/97", "101/243"]
    digest = "357cecad5ee9d84aba2e90484659c29bceb71d95731485a303d91d5e796f89cb"
    assert sha256_of_file(tmp_path / "tafeng_1000/tafeng_1000_merged.json") == digest
