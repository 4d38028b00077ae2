"""The preparations of published splits (one user and the user's items per line), run as commands without network."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recbole.utils import sha256_of_file

DATASETS = ("ml-1m_receraser", "ml-10m_receraser", "yelp2018")
REFERENCE = os.environ.get("ERASE_REFERENCE_DATA")
N_USERS, N_ITEMS = 50, 120


def script(name):
    return Path(__file__).parents[2] / "dataset" / name / "prepare.py"


def prepare(name, *arguments):
    command = [sys.executable, str(script(name)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def lists(rows):
    """Return the text of user lists, given a dictionary of user to items."""
    return "".join(" ".join(map(str, (user, *items))) + "\n" for user, items in rows.items())


def pairs(rows):
    return [(str(user), str(item)) for user, items in rows.items() for item in items]


def inter(path):
    header, *rows = path.read_text().splitlines()
    assert header == "user_id:token\titem_id:token"
    return [tuple(row.split("\t")) for row in rows]


@pytest.fixture
def split(tmp_path):
    """A folder with lists of 50 users and 120 items, and their contents; user 7 has no test item."""
    draw = np.random.default_rng(3)
    weights = 1 / np.arange(5, N_ITEMS + 5)
    own = {u: draw.choice(N_ITEMS, 20 + u, replace=False, p=weights / weights.sum()).tolist() for u in range(N_USERS)}
    train, test = {u: items[5:] for u, items in own.items()}, {u: items[:5] for u, items in own.items()}
    train[7], test[7] = own[7], []
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.txt").write_text(lists(train))
    (folder / "test.txt").write_text(
        lists(test).replace("\n", " \n", 1)
    )  # some published lists have a space at the end of a line
    return folder, train, test


@pytest.mark.parametrize("name", DATASETS)
def test_the_files_equal_the_lists_and_a_tenth_of_train_becomes_validation(split, tmp_path, name):
    source, train, test = split
    done = prepare(name, "--from", source, "--output", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    parts = {part: inter(tmp_path / f"out/{name}.{part}.inter") for part in ("train", "valid", "train_all", "test")}
    assert parts["train_all"] == pairs(train) and parts["test"] == pairs(test)
    assert inter(tmp_path / f"out/{name}.inter") == pairs(train) + pairs(test)
    assert len(parts["valid"]) == len(pairs(train)) // 10
    assert sorted(parts["train"] + parts["valid"]) == sorted(pairs(train))
    assert len({user for user, _ in parts["valid"]}) > N_USERS / 2, "drawn from all users"
    assert f"for validation: {len(parts['valid']):,} of {len(pairs(train)):,} rows" in done.stdout
    assert len(list((tmp_path / "out").glob("*unlearn_pairs*"))) == 2 * 5 * 3
    again = prepare(name, "--from", source, "--output", tmp_path / "again")
    assert again.stdout == done.stdout
    for path in (tmp_path / "out").iterdir():
        assert sha256_of_file(path) == sha256_of_file(tmp_path / "again" / path.name)


def test_the_categories_have_items_of_medium_popularity_and_are_disjoint(split, tmp_path):
    source, train, test = split
    assert prepare("yelp2018", "--from", source, "--output", tmp_path / "out").returncode == 0
    listed = [set((tmp_path / f"out/sensitive_asins_{c}.txt").read_text().split()) for c in ("middling", "tuning")]
    items = [int(item) for _, item in pairs(train) + pairs(test)]
    counts = np.bincount(items)
    ranked = sorted(set(items), key=lambda item: (-counts[item], item))
    middle = set(map(str, ranked[int(len(ranked) * 0.1) : int(len(ranked) * 0.3)]))
    assert [len(one) for one in listed] == [len(middle) // 10] * 2
    assert listed[0] | listed[1] <= middle and not listed[0] & listed[1]
    rows = set(pairs(train) + pairs(test))
    sizes = []
    for path in sorted((tmp_path / "out").glob("*unlearn_pairs*middling*")):
        asked = inter(path)
        sizes.append(len(asked))
        assert set(asked) <= rows and {item for _, item in asked} <= listed[0]
    assert max(sizes) > 0


def test_a_published_validation_list_is_used_unchanged(split, tmp_path):
    source, train, test = split
    valid = {user: [119] for user in range(0, N_USERS, 5)}
    (source / "valid.txt").write_text(lists(valid))
    done = prepare("ml-10m_receraser", "--from", source, "--output", tmp_path / "out")
    assert "using valid.txt for validation" in done.stdout
    parts = {p: inter(tmp_path / f"out/ml-10m_receraser.{p}.inter") for p in ("train", "valid", "train_all", "test")}
    assert (parts["train"], parts["valid"], parts["test"]) == (pairs(train), pairs(valid), pairs(test))
    assert parts["train_all"] == pairs(train) + pairs(valid)


def test_a_subset_has_all_rows_of_its_users_with_their_labels(split, tmp_path):
    source, *_ = split
    for out, arguments in (("all", ()), ("some", ("--subset", "0.3", "--seed", 3))):
        assert prepare("yelp2018", "--from", source, "--output", tmp_path / out, *arguments).returncode == 0
    kept = {user for user, _ in inter(tmp_path / "some/yelp2018_test.inter")}
    assert len(kept) == 15
    for part in ("", ".train", ".valid", ".train_all", ".test"):
        rows = inter(tmp_path / f"all/yelp2018{part}.inter")
        assert inter(tmp_path / f"some/yelp2018_test{part}.inter") == [row for row in rows if row[0] in kept]


USERS = "".join(f"{user + 1}::{'FM'[user % 2]}::25::{user % 21}::0{user:04}\n" for user in range(N_USERS))


@pytest.mark.parametrize("first", ["1", "0"])
def test_user_ids_of_the_lists_are_those_of_grouplens_minus_one(split, tmp_path, first):
    (split[0] / "users.dat").write_text(first + USERS[1:])
    done = prepare("ml-1m_receraser", "--from", split[0], "--output", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert ("has a user 0 and no user 1" in done.stdout) == (first == "0")
    header, *rows = (tmp_path / "out/ml-1m_receraser.user").read_text().splitlines()
    assert header == "user_id:token\tgender:token\tage:token\toccupation:token\tzip_code:token"
    assert rows == [f"{user}\t{'FM'[user % 2]}\t25\t{user % 21}\t0{user:04}" for user in range(N_USERS)]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.txt", None, "contains no train.txt"),
        ("test.txt", "0 1 x\n", "test.txt:1: expected whole numbers, a user followed by the user's items"),
        ("train.txt", "0 1\n\n", "train.txt:2: expected whole numbers"),
        ("train.txt", "0 -1\n", "train.txt:1: expected whole numbers"),
        ("test.txt", "0\n1\n", "test.txt: contains no items"),
        ("users.dat", "1::F::1::10::48067\n", "users.dat has no user 2, who is user 1 of the split's files"),
        ("users.dat", "1::X::1::10::48067\n", "users.dat:1: value 2, 'X', is not F or M"),
    ],
)
def test_errors_leave_no_files(split, tmp_path, monkeypatch, capsys, file, content, message):
    path = split[0] / file
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)
    command = ["prepare.py", "--from", split[0], "--output", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script("ml-1m_receraser")), run_name="__main__")
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not list(tmp_path.glob("out*"))


@pytest.mark.skipif(REFERENCE is None, reason="needs the reference data")
def test_real_data(tmp_path):
    done = prepare("ml-1m_receraser", "--from", Path(REFERENCE) / "data/ml-1m_receraser", "--output", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the files are identical to those of the published split" in done.stdout
    sizes = {part: len(inter(tmp_path / f"out/ml-1m_receraser.{part}.inter")) for part in ("train", "valid", "test")}
    assert sizes == {"train": 648_137, "valid": 72_015, "test": 200_041}
    tables = [line.split() for line in done.stdout.splitlines() if line.startswith(("middling ", "tuning "))]
    assert tables == [
        ["middling", "73", "30917", "20/92", "81/471", "152/923"],
        ["tuning", "73", "30283", "19/91", "81/460", "165/917"],
    ]
