"""Errors are found before training, and only files that this program wrote are overwritten."""

import json
import os

import pytest
from tiny_tasks import inside

from recbole.quick_start.main import train_main

TRAINS, UNLEARNS = "run_recbole.py", "unlearn.py"
BASE = "model_BPR_seed_2_dataset_tiny_best"


@pytest.fixture(scope="module")
def trained(world, command_line, tmp_path_factory):
    """Small data with a base, its result file and a retrained model."""
    place = world(tmp_path_factory.mktemp("trained"))
    with inside(place.folder):
        for more in (("--result_file", "result.json"), ("--retrain_checkpoint_idx_to_match", "3")):
            assert train_main(command_line(TRAINS, *more, "--tensorboard", "False")[2:]) == 0
    return place


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".log"}


def refused(place, here, script, *arguments):
    """Run a program that must fail before any epoch and write no file; return the error line."""
    before = files(place.folder)
    told = here(place.folder, script, *arguments)
    assert told.status == 2 and told.err.count("\n") == 1, told
    assert "train loss" not in told.out and files(place.folder) == before
    return told.err


@pytest.mark.parametrize(
    "target", ["mine.txt", "link", "pipe", "/dev/null", "dataset/tiny/tiny.inter", f"saved/{BASE}.json"]
)
@pytest.mark.parametrize("script", [TRAINS, UNLEARNS])
def test_a_result_file_only_overwrites_a_record(trained, here, script, target):
    mine = trained.folder / "mine.txt"
    mine.write_text('{"kind of": "other"}')
    for name, make in (("link", lambda path: path.symlink_to(trained.folder / "result.json")), ("pipe", os.mkfifo)):
        if not os.path.lexists(trained.folder / name):
            make(trained.folder / name)
    try:
        assert "cannot write " in refused(trained, here, script, "--result_file", target)
    finally:
        for name in ("mine.txt", "link", "pipe"):
            (trained.folder / name).unlink()


@pytest.mark.parametrize(
    "target", ["saved/new", "./log/new", "log/new/BPR", "log_tensorboard/new", "other/../saved/new"]
)
def test_a_result_file_is_no_folder_that_the_run_makes(trained, here, target):
    line = refused(trained, here, TRAINS, "--variant", "new", "--result_file", target)
    assert f"cannot write {target.removeprefix('./')}: the run has a folder of this name" in line


def test_a_result_file_is_no_folder_that_an_unlearning_run_makes(trained, here):
    target = "saved/damping_0.5"
    line = refused(trained, here, UNLEARNS, "--damping", "0.5", "--result_file", target)
    assert (
        f"cannot write {target}: the run has a folder of this name" in line and not (trained.folder / target).exists()
    )


def test_a_record_is_overwritten(trained, here):
    told = here(trained.folder, TRAINS, "--eval_only", "--result_file", "result.json")
    assert told.status == 0 and json.loads((trained.folder / "result.json").read_text())["kind"] == "base"


def test_a_result_file_with_the_name_of_a_checkpoints_record_is_rejected(world, here, tmp_path):
    place = world(tmp_path)
    assert "the record next to a checkpoint" in refused(place, here, TRAINS, "--result_file", f"saved/{BASE}.json")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--reference_checkpoint", "saved/gone.pth"), "there is no such checkpoint"),
        (("--sensitive_eval_only",), "needs --sensitive_category"),
        (("--metric_decimal_place", "400"), "from 0 to 17"),
        (("--topk", "2147483647"), "at most 1000, not 2147483647"),
        (("--dataset", "../../tiny"), "because file names contain it"),
        (("--sensitive_category", "../horror"), "because file names contain it"),
    ],
)
def test_errors_are_found_before_training(trained, here, arguments, told):
    assert told in refused(trained, here, TRAINS, *arguments)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--max_norm", "0"), "--max_norm: 0.0 is not above 0"),
        (("--unlearning_algorithm", "fanchuan", "--fanchuan_contrast_rate", "-1"), "--fanchuan_contrast_rate: -1.0 is"),
        (("--unlearning_algorithm", "ceu", "--release_secret", "gone"), "--release_secret: gone cannot be read"),
    ],
)
def test_no_folder_of_checkpoints_is_made_for_rejected_hyper_parameters(trained, here, arguments, told):
    before = sorted(trained.saved.rglob("*"))
    assert told in refused(trained, here, UNLEARNS, *arguments)
    assert sorted(trained.saved.rglob("*")) == before


@pytest.mark.parametrize("text", ["{", "[]", '{"file_sha256": 3}', '{"timing": 3, "file_sha256": null}'])
def test_an_invalid_record_of_a_retrained_model_is_an_error(trained, here, text):
    (path,) = trained.saved.glob("*_to_match_3_*_horror.json")
    before = path.read_bytes()
    path.write_text(text)
    try:
        assert path.name in refused(trained, here, UNLEARNS)
    finally:
        path.write_bytes(before)


def test_a_retrained_models_record_without_its_time_gives_no_speed_up(trained, here):
    (path,) = trained.saved.glob("*_to_match_3_*_horror.json")
    before = path.read_bytes()
    path.write_text('{"timing": {"fit_seconds": null}, "file_sha256": null}')
    try:
        told = here(trained.folder, UNLEARNS, "--overwrite")
        assert told.status == 0 and "no speed-up is given" in told.out
    finally:
        path.write_bytes(before)


def test_an_invalid_record_of_an_unlearned_model_is_an_error_before_its_evaluation(trained, here):
    assert here(trained.folder, UNLEARNS, "--overwrite").status == 0
    (path,) = trained.saved.rglob("*_unlearning_algorithm_*_to_match_3.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"requests": 5}))
    told = refused(trained, here, UNLEARNS, "--eval_only", "--result_file", "again.json")
    assert told.endswith(f"{path.name}: requests is 5, but should be an object\n")


def test_results_are_written_before_they_are_printed(trained, here, monkeypatch):
    def fails(*_, **__):
        raise ValueError("cannot convert float NaN to integer")

    monkeypatch.setattr("recbole.quick_start.train.report", fails)
    with pytest.raises(ValueError, match="NaN"):
        here(trained.folder, TRAINS, "--eval_only", "--result_file", "kept.json")
    assert json.loads((trained.folder / "kept.json").read_text())["metrics"]
