"""Runs with noise that is added before a model is released: saved checkpoints and records."""

import json

import pytest
import torch
from tiny_tasks import inside

from recbole.quick_start.main import train_main, unlearn_main

COMMON = ("--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml", "--tensorboard", "False")
FORGETTING = ("--sensitive_category", "horror", "--unlearning_fraction", "0.01", "--unlearning_algorithm", "idea")


@pytest.fixture(scope="module")
def place(world, tmp_path_factory):
    """A folder with a base, unlearned without noise and with the noise of an epsilon."""
    folder = world(tmp_path_factory.mktemp("release")).folder
    with inside(folder):
        assert train_main([*COMMON]) == 0
        assert unlearn_main([*COMMON, *FORGETTING, "--result_file", "quiet.json"]) == 0
        assert unlearn_main([*COMMON, *FORGETTING, "--idea_epsilon", "0.5", "--result_file", "noisy.json"]) == 0
    return folder


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]["item_embedding.weight"]


def test_each_checkpoint_has_independent_noise_with_its_size_in_the_record(place):
    steps = sorted((place / "saved").glob("*_idea_*.pth"))
    noisy = sorted((place / "saved" / "idea_epsilon_0.5").glob("*.pth"))
    assert [path.name for path in steps] == [path.name for path in noisy] and len(steps) == 4
    result = json.loads((place / "noisy.json").read_text(encoding="utf-8"))["certificates"]
    noises = []
    for at, (without, with_noise) in enumerate(zip(steps, noisy, strict=True)):
        noises.append((weights(with_noise) - weights(without))[1:])
        told = json.loads(with_noise.with_suffix(".json").read_text(encoding="utf-8"))["certificate"]
        assert told == result[str(at)] and not told["holds"] and len(told["composed"]) == at + 1
        assert float(noises[at].std()) == pytest.approx(told["sigma"], rel=0.3)
    assert float((noises[0] / noises[0].std() - noises[1] / noises[1].std()).std()) > 1


def test_without_an_epsilon_the_record_gives_the_noise_that_one_would_need(place):
    told = json.loads((place / "quiet.json").read_text(encoding="utf-8"))["certificates"]
    assert sorted(told) == ["0", "1", "2", "3"]
    assert all(one["sigma"] == 0 and one["epsilon"] is None and one["sigma_of_epsilon_1"] > 0 for one in told.values())


def test_an_unreadable_secret_gives_a_one_line_error(place, capsys):
    with inside(place):
        assert unlearn_main([*COMMON, *FORGETTING, "--release_secret", "gone"]) == 2
    told = capsys.readouterr().err
    assert "--release_secret: gone cannot be read" in told and told.count("\n") == 1
