"""The scripts in examples/, each run as a command on a small data set in the format of MovieLens 100K."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with ``dataset/ml-100k``: 40 users with 12 of 60 films each, and film titles."""
    home, draw = tmp_path_factory.mktemp("place"), np.random.default_rng(7)
    folder = home / "dataset" / "ml-100k"
    folder.mkdir(parents=True)
    rows = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for user in range(1, 41):
        films = (draw.choice(30, 12, replace=False) + 15 * (user % 3)) % 60 + 1
        rows += [f"{user}\t{film}\t{draw.integers(1, 6)}\t{1000 * user + at}" for at, film in enumerate(films)]
    (folder / "ml-100k.inter").write_text("\n".join(rows) + "\n")
    titles = [f"{film}\tFilm{film} The" for film in range(1, 61)]
    (folder / "ml-100k.item").write_text("\n".join(["item_id:token\tmovie_title:token_seq", *titles]) + "\n")
    return home


def said_by(name, place):
    """Run an example in the folder; return its output."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "never read" not in done.stderr
    return done.stdout


def numbers(text, names):
    """Return, for each name, the numbers in the last line that begins with it."""
    found = {name: list(re.finditer(rf"^{name} +([-\d. ]+|.*NaN.*)$", text, re.M))[-1] for name in names}
    return {name: [float(word) for word in line[1].split()] for name, line in found.items()}


def test_train_and_case_study(place):
    said = said_by("train_and_case_study", place)
    valid, test = numbers(said, ["recall@10"])["recall@10"]
    assert 0 < valid <= 1 and 0 < test <= 1
    rated = {}
    for line in (place / "dataset/ml-100k/ml-100k.inter").read_text().splitlines()[1:]:
        user, film, *_ = line.split("\t")
        rated.setdefault(user, set()).add(f"Film{film} The")
    told = dict(re.findall(r"user (\d+): (Film.*)", said))
    assert set(told) == {"1", "2", "13"}
    for user, films in told.items():
        recommended = films.split("; ")
        assert len(set(recommended)) == 5 and len(rated[user] & set(recommended)) <= 2, (
            "at most the items of the test split"
        )
    assert all(1 <= int(at) <= 60 for at in re.findall(r"is at place (\d+) of 60", said))
    assert said.count("is at place") == 3


def test_unlearn_and_compare(place):
    said = said_by("unlearn_and_compare", place)
    names = ["base", "retrained", "finetune", "kookmin", "scif"]
    table, known = re.split(r"^model *$", said, flags=re.M)[1:3]
    utility = numbers(table, names)
    assert all(0 <= value < 1 for values in utility.values() for value in values) and len(utility["base"]) == 3
    odds = {name: value for name, (value,) in numbers(known, names).items()}
    assert utility["base"][0] > 0 and odds["base"] != odds["finetune"] and odds["retrained"] < odds["base"], (
        "trained pairs have a higher score"
    )
    assert said.count("applied") >= 6 and "'total': 3, 'done': 3" in said
    assert re.search(r"^unlearned +\d+$", said, re.M)
    assert (place / "saved/model_BPR_seed_2_dataset_ml-100k_best.pth").is_file()


def test_own_data_and_model(place):
    said = said_by("own_data_and_model", place)
    recall = {name: value for name, (value, _) in numbers(said, ["PopularBPR", "Pop", "BPR"]).items()}
    assert recall["PopularBPR"] > recall["Pop"] and recall["BPR"] > recall["Pop"]
    odds = {name: value for name, (value,) in numbers(said, ["base", "retrained", "scif"]).items()}
    assert odds["retrained"] < odds["base"] != odds["scif"]
