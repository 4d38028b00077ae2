"""Forget sets in a user's own file, from training to evaluation in each task, and rejected files."""

import hashlib
import json
import pickle

import pytest
from test_spam_runs import MODELS, furnish, histories, inside, words

from recbole.config import Config
from recbole.quick_start.main import train_main, unlearn_main
from recbole.scenario.known_scenarios import scenario_of
from recbole.utils import UserError

ASK = [*range(100, 108)]
RETRAIN = ("--retrain_checkpoint_idx_to_match", "3")
CATEGORY = ("--sensitive_category", "odd")


def write_set(place, kind):
    """Write the rows that the users in `ASK` want forgotten to ``elsewhere/mine.<kind>``; return the path."""
    path = place.folder / "elsewhere" / f"mine.{kind}"
    path.parent.mkdir(exist_ok=True)
    if kind == "inter":
        field = "session_id" if place.task == "SBR" else "user_id"
        rows = [f"{user}\t{item}\n" for user, items in histories(range(100, 130), 1).items()
                for item in items if user in ASK and item % 4 == 1]  # fmt: skip
        path.write_text(f"{field}:token\titem_id:token\n{''.join(rows)}")
    else:
        users = [str(user) for user in ASK]
        path.write_bytes(pickle.dumps(users) if kind == "pkl" else json.dumps(users).encode())
    return path


def run(place, script, *arguments):
    with inside(place.folder):
        main = train_main if script == "run_recbole.py" else unlearn_main
        return main(words(place, *arguments))


@pytest.fixture
def place(request, tmp_path):
    made = furnish(tmp_path, request.param)
    (made.fraud.parent / "sensitive_asins_odd.txt").write_text("".join(f"{item}\n" for item in range(1, 34, 4)))
    return made


@pytest.mark.parametrize(
    ("place", "kind"), [("CF", "inter"), ("SBR", "inter"), ("NBR", "json"), ("NBR", "pkl")], indirect=["place"]
)
def test_train_retrain_and_unlearn_with_an_own_file(place, kind):
    own, run_of = write_set(place, kind), f"model_{MODELS[place.task]}_seed_2_dataset_tiny"
    asked = ("--forget_set", str(own.relative_to(place.folder)), *(CATEGORY if place.task == "NBR" else ()))
    assert run(place, "run_recbole.py", *asked) == 0
    assert run(place, "run_recbole.py", *asked, *RETRAIN) == 0
    assert run(place, "unlearn.py", *asked, "--unlearning_algorithm", "kookmin", "--result_file", "r.json") == 0
    method = "unlearning_sample_selection_method_mine"
    assert {path.name.removeprefix(f"{run_of}_") for path in place.saved.glob("*.pth")} == {
        "best.pth",
        *(f"retrain_checkpoint_idx_to_match_3_{method}{end}.pth" for end in ("", "_same_epoch")),
        "retrained_best.pth",
        *(
            f"unlearning_algorithm_kookmin_{method}_unlearn_epoch_{last}_retrain_checkpoint_idx_to_match_{at}.pth"
            for at, last in enumerate((2, 4, 6, 7))
        ),
    }
    record = json.loads((place.folder / "r.json").read_text())
    assert (record["requests"]["total"], record["requests"]["applied"]) == (8, 8)
    sha256 = hashlib.sha256(own.read_bytes()).hexdigest()
    assert record["mask"] == {"forget_set_sha256": sha256, "requests_done": 8}
    assert any(row["model"] == "retrained" for row in record["metrics"])
    retrained = json.loads((place.saved / f"{run_of}_retrain_checkpoint_idx_to_match_3_{method}.json").read_text())
    assert retrained["mask"] == record["mask"]


@pytest.mark.parametrize("place", ["CF"], indirect=True)
def test_a_sampled_set_given_by_its_path_is_the_same_set(place):
    """The path is given in a configuration file, and the mask is the same as with the default file name."""
    own = write_set(place, "inter")
    drawn = place.fraud.parent / "tiny_unlearn_pairs_sensitive_category_odd_seed_2_unlearning_fraction_0.1.inter"
    drawn.write_bytes(own.read_bytes())
    with (place.folder / "tiny.yaml").open("a") as settings:
        settings.write("forget_set: elsewhere/mine.inter\n")
    assert run(place, "run_recbole.py", *RETRAIN, "--result_file", "own.json") == 0
    named = (*CATEGORY, "--unlearning_fraction", "0.1", "--forget_set", "null")
    assert run(place, "run_recbole.py", *named, *RETRAIN, "--result_file", "drawn.json") == 0
    one, other = (json.loads((place.folder / f"{name}.json").read_text()) for name in ("own", "drawn"))
    assert one["mask"] == other["mask"]
    rows = [[row for row in record["metrics"] if row["view"] == "current"] for record in (one, other)]
    about = ("metric", "k", "split", "population", "masking")
    told = [{tuple(row[key] for key in about): row["value"] for row in part} for part in rows]
    assert told[0] and all(told[1][key] == value for key, value in told[0].items())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--unlearning_fraction", "0.1"), "unlearning_fraction 0.1 (command line) both say"),
        (("--forget_set_seed", "0"), "unlearn_sample_selection_seed 0 (command line) both say"),
        (("--unlearning_sample_selection_method", "x"), "unlearning_sample_selection_method x (command line) both say"),
        (("--spam",), "spam True (command line) both say"),
    ],
)
@pytest.mark.parametrize("place", ["CF"], indirect=True)
def test_a_file_and_options_for_another_set_contradict_each_other(place, capsys, more, told):
    write_set(place, "inter")
    for script in ("run_recbole.py", "unlearn.py"):
        assert run(place, script, "--forget_set", "elsewhere/mine.inter", *more) == 2
        assert f"forget_set elsewhere/mine.inter (command line) and {told} what is to be" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["NBR"], indirect=True)
def test_several_missing_or_unnamed_lists_of_sensitive_items(place, capsys):
    own = write_set(place, "json")
    stem = "tiny_unlearn_pairs_sensitive_category_odd_seed_2_unlearning_fraction_0.1"
    asked = (*CATEGORY, "--unlearning_fraction", "0.1", *RETRAIN)
    assert run(place, "run_recbole.py", *asked) == 2
    made = "python make_forget_set.py --dataset tiny --sensitive_category odd --unlearning_fraction 0.1 --seed 2"
    assert capsys.readouterr().err == f"run_recbole.py: there is no dataset/tiny/{stem}.json; make it with: {made}\n"
    for kind in ("json", "pkl"):
        (place.fraud.parent / f"{stem}.{kind}").write_bytes(write_set(place, kind).read_bytes())
    assert run(place, "run_recbole.py", *asked) == 2
    assert f"{stem}.json and dataset/tiny/{stem}.pkl both exist" in capsys.readouterr().err
    assert run(place, "run_recbole.py", "--forget_set", str(own), *RETRAIN) == 2
    assert "lists users but no items: select the items to forget with --sensitive_category" in capsys.readouterr().err
    assert run(place, "run_recbole.py", "--forget_set", "none.json", *CATEGORY, *RETRAIN) == 2
    assert "cannot read none.json: No such file" in capsys.readouterr().err


def test_a_stored_configuration_is_restored():
    named = Config("BPR", "tiny", command_line={"forget_set": "a/0.1.inter", "seed": "3"})
    stored = scenario_of(named).config.as_dict()
    config = Config.restored(stored)
    assert config["unlearning_sample_selection_method"] == "0.1" and config["forget_set"] == "a/0.1.inter"
    assert config["unlearning_fraction"] is None and config["seed"] == 3
    with pytest.raises(UserError, match=r"forget_set \(command line\) should be text"):
        Config("BPR", "tiny", command_line={"forget_set": 3})
