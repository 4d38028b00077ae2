"""The record next to a checkpoint file, as it is read by whatever reads the checkpoint."""

import json
import os

import pytest
import torch

from recbole.evaluator.records import read_beside
from recbole.trainer import load_checkpoint, save_checkpoint
from recbole.utils import UserError


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.pth"
    save_checkpoint(path, {"state_dict": {"w": torch.zeros(2)}})
    return path


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"requests": 5}, "requests is 5, but should be an object"),
        (
            {"timing": {"fit_seconds": "long"}},
            'fit_seconds in timing is "long", but should be a finite number, or null',
        ),
        ({"certificate": []}, "certificate is a list, but should be an object, or null"),
        ({"ensemble": {"partition": "\ud800"}}, r'partition in ensemble is "\ud800", but should be valid Unicode'),
        ({"file_sha256": 3}, "file_sha256 is 3, but should be a text, or null"),
    ],
)
def test_a_record_with_a_value_of_the_wrong_type_is_refused_with_its_checkpoint(saved, about, told):
    path = saved.with_suffix(".json")
    path.write_text(json.dumps({"kind": "unlearned"} | about))
    for read in (load_checkpoint, read_beside):
        with pytest.raises(UserError) as caught:
            read(saved)
        assert str(caught.value) == f"{path}: {told}"


def test_a_file_of_another_program_is_no_record(saved):
    assert read_beside(saved) is None
    saved.with_suffix(".json").write_text('{"requests": 5, "timing": "long"}')
    assert read_beside(saved) is None and load_checkpoint(saved)


def test_a_record_of_an_older_program_may_lack_keys(saved):
    saved.with_suffix(".json").write_text('{"kind": "base", "more": [null, 1e999]}')
    assert read_beside(saved)["kind"] == "base" and load_checkpoint(saved)


@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_a_record_that_is_no_regular_file_is_not_waited_for(saved, kind):
    path = saved.with_suffix(".json")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"model\.json: it is not a regular file"):
        load_checkpoint(saved)
