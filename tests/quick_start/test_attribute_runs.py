"""Attribute unlearning on the command line: errors, file names, and ERASE's configuration."""

import json
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from tiny_tasks import inside

from recbole.quick_start.attribute_config import expanded
from recbole.quick_start.main import unlearn_main
from recbole.utils import UserError

SHORT = ("--protect_steps", "4")


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory, run):
    """The small data with a trained base, and users of two genders and three ages."""
    made = world(tmp_path_factory.mktemp("attribute"))
    lines = [f"u{user:02}\t{'FM'[user % 3 // 2]}\t{20 + user}\n" for user in range(30)]
    (made.data / "tiny.user").write_text(f"user_id:token\tgender:token\tage:float\n{''.join(lines)}")
    assert run(made.folder, "run_recbole.py").status == 0
    return made


@pytest.fixture
def protect(trained, capsys):
    """A function: ``protect(*arguments)`` runs unlearn.py without a forget set; it returns the status and stderr."""

    def done(*arguments):
        capsys.readouterr()
        common = ("--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml", "--tensorboard", "False")
        with inside(trained.folder):
            status = unlearn_main([*common, *arguments])
        return SimpleNamespace(status=status, err=capsys.readouterr().err)

    return done


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--attribute", "gender"),
            "scif forgets interactions and cannot unlearn a user attribute (--attribute); use --unlearning_algorithm ",
        ),
        (("--unlearning_algorithm", "d2d"), "d2d unlearns a user attribute: name it"),
        (("--attribute", "gender", "--unlearning_batchsize", "2"), "--protect_batches sets the number of requests"),
        (("--attribute", "gender", "--unlearning_fraction", "0.1"), "--protect_fraction sets the share of users"),
        (("--attribute", "gender", "gender"), "each attribute may be given only once"),
        (("--attribute", "gender", "--protect_fraction", "1.5"), "should be a number in (0, 1]"),
        (("--attribute", "gender", "--protect_batches", "0"), "should be an integer of at least 1"),
        (
            ("--attribute", "gender", "--protect_batches", "2147483647", "--unlearning_algorithm", "u2u"),
            "--protect_batches 2147483647 is more than the users to protect: give at most 30",
        ),
        (
            ("--attribute", "gender", "--protect_fraction", "0.1", "--unlearning_algorithm", "u2u"),
            "--protect_batches 4 is more than the users to protect: give at most 3",
        ),
        (("--attribute", "gender", "--spam"), "both say what is to be forgotten"),
        (("--attribute", "../../../esc", "--unlearning_algorithm", "u2u"), "attribute (command line) should be a name"),
        (("--attribute", "gender", "", "--unlearning_algorithm", "u2u"), "because file names contain it, not ''"),
        (("--attribute", "income", "--unlearning_algorithm", "u2u"), "no column 'income'"),
        (("--attribute", "gender", "--protect_fraction", "0.01", "--unlearning_algorithm", "u2u"), "selects no user"),
    ],
)
def test_contradicting_options_give_one_line_errors(protect, arguments, told):
    done = protect(*arguments)
    assert done.status == 2 and told in done.err and done.err.count("\n") == 1, done.err


@pytest.mark.parametrize(
    ("arguments", "logs"),
    [(("--d2d_block", "0"), False), (("--protect_view", "propagated"), True), (("--protect_regulariser", "l1"), True)],
)
def test_no_folder_of_checkpoints_is_made_for_rejected_settings(protect, trained, arguments, logs):
    asked = ("--attribute", "gender", "--unlearning_algorithm", "d2d", "--checkpoint_dir", "new", *arguments)
    base = next(trained.saved.glob("*_best.pth"))
    done = protect(*asked, "--base_checkpoint", str(base))
    assert done.status == 2 and done.err.count("\n") == 1, done.err
    assert {path.name for path in (trained.folder / "new").glob("*")} <= ({"log"} if logs else set())


def test_attributes_are_unlearned_one_after_another_and_other_files_stay(protect, trained):
    arguments = ("--attribute", "gender", "age", "--unlearning_algorithm", "d2d", *SHORT, "--protect_fraction", "0.8")
    with (trained.folder / "tiny.yaml").open("a") as settings:
        settings.write("attributes: {age: {bins: [30, 40]}}\n")
    done = protect(*arguments, "--result_file", "r.json")
    assert done.status == 0, done.err
    record = json.loads((trained.folder / "r.json").read_text())
    assert (record["requests"]["total"], record["requests"]["applied"]) == (8, 8)
    assert {(row["model"], row["population"]) for row in record["metrics"]} == {
        (model, population) for model in ("base", "unlearned") for population in ("all", "requesting", "others")
    }
    distances = [row for row in record["metrics"] if row["metric"] == "js_divergence"]
    assert all("_best.pth" in row["reference"] for row in distances)
    assert all((row["value"] > 1e-9) == (row["population"] != "others") for row in distances)
    (path,) = (trained.saved / "protect_steps_4").glob("*fraction_0.8_*_attribute_gender+age_*_to_match_3.pth")
    ours, base = (torch.load(p, weights_only=True)["state_dict"] for p in (path, *trained.saved.glob("*_best.pth")))
    assert torch.equal(ours["item_embedding.weight"], base["item_embedding.weight"])
    assert (ours["user_embedding.weight"] != base["user_embedding.weight"]).any(dim=1).sum() == 24
    people = (trained.data / "tiny.user").read_text()
    (trained.data / "tiny.user").write_text(people.replace("u03\tF", "u03\tM"))
    other = protect(*arguments)
    assert other.status == 2 and "protected" in other.err  # the same file names, but other values of the attribute
    (trained.data / "tiny.user").write_text(people)
    assert protect(*arguments, "--eval_only").status == 0


def test_erases_file_is_translated_to_a_command_line(tmp_path):
    path, said = tmp_path / "exp_config.json", []
    path.write_text('{"method": "retrain", "model": "ncf", "lr": 0.01, "retrain_trade_off": 3, "device": "cpu"}')
    words, trains = expanded(["--attribute_config", str(path), "--seed", "3"], said.append)
    assert not trains and words[-2:] == ["--seed", "3"] and "--device=cpu" in words
    pairs = dict(pairwise(words))
    expected = {"--model": "NeuMF", "--unlearning_algorithm": "mmd_training", "--mmd_weight": "3"}
    assert (
        expected.items() <= pairs.items()
        and pairs["--learning_rate"] == "0.01"
        and pairs["--train_neg_sample_args"] == "{sample_num: 4}"
    )
    path.write_text(json.dumps({"model": "lightgcn", "test_num_ng": 50}))
    words, trains = expanded([f"--attribute_config={path}"], said.append)
    assert trains and "--attribute" not in words and "LightGCN" in words
    assert any("num_ng" in line for line in said) and "mode: uni50}" in dict(pairwise(words))["--eval_args"]
    assert expanded(["--seed", "3"]) == (["--seed", "3"], False)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"methd": "d2d"}', "unknown key 'methd', did you mean 'method'"),
        ('{"method": "u3u"}', "method should be one of original, u2u, d2d, retrain, adv, not 'u3u', did you mean"),
        ('{"lr": "fast"}', "lr should be a number"),
        ("[1]", "expected a JSON object, found list"),
        ("{", "not a JSON file"),
        ("[" * 10**5, "not a JSON file"),
    ],
)
def test_unsupported_keys_of_erases_file_for_attributes_are_rejected_by_name(tmp_path, content, told):
    path = tmp_path / "exp_config.json"
    path.write_text(content)
    with pytest.raises(UserError, match=told):
        expanded(["--attribute_config", str(path)])
    with pytest.raises(UserError, match="needs a file"):
        expanded(["--attribute_config"])
