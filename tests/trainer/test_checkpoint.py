"""Checkpoint files: complete or absent, and reading them never runs code."""

import errno
import hashlib
import os
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import recbole.config.configurator
from recbole.model.general_recommender.bpr import BPR
from recbole.trainer import load_checkpoint, load_weights, save_checkpoint
from recbole.trainer.stored import Stored
from recbole.utils import UserError

STATE = {
    "config": {"seed": 2, "topk": [10, 20], "eval_args": {"order": "TO"}, "none": None},
    "epoch": 7,
    "cur_step": 0,
    "best_valid_score": 0.25,
    "state_dict": {"w": torch.arange(12.0).view(3, 4), "v": torch.full((2,), 1 / 3, dtype=torch.float64)},
    "other_parameter": None,
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999)}]},
    "meta": {"kind": "base"},
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "saved" / "model.pth"
    save_checkpoint(path, STATE)
    return path


def one_line(error, *words):
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def test_what_is_written_comes_back(saved):
    assert equal(load_checkpoint(saved), STATE)
    assert equal(torch.load(saved, weights_only=True), STATE)
    assert sorted(os.listdir(saved.parent)) == ["model.pth"]


def test_the_same_state_gives_the_same_bytes(saved, tmp_path):
    save_checkpoint(tmp_path / "again" / "model.pth", STATE)
    assert (tmp_path / "again" / "model.pth").read_bytes() == saved.read_bytes()


def test_a_file_cut_off_anywhere_is_told_in_one_line(saved):
    whole = saved.read_bytes()
    for size in {*range(0, len(whole), len(whole) // 60), len(whole) - 1}:
        saved.write_bytes(whole[:size])
        with pytest.raises(UserError) as error:
            load_checkpoint(saved)
        one_line(error, str(saved), "truncated or not a checkpoint")


def test_damaged_bytes_are_told_or_do_no_harm(saved):
    whole, draw = saved.read_bytes(), random.Random(5)
    told = 0
    for _ in range(300):
        bytes_ = bytearray(whole)
        for _ in range(draw.choice([1, 2, 8])):
            bytes_[draw.randrange(len(whole))] = draw.randrange(256)
        saved.write_bytes(bytes_)
        try:
            load_checkpoint(saved)
        except UserError as error:
            told += 1
            assert "\n" not in str(error)
    assert told > 50


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello\nworld", b"\x80\x04.", pickle.dumps([1, 2])])
def test_what_is_no_checkpoint_is_told(tmp_path, content):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        load_weights(torch.nn.Linear(1, 1), load_checkpoint(path), path)
    one_line(error, str(path))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError) as error:
        load_checkpoint(tmp_path / "none.pth")
    one_line(error, str(tmp_path / "none.pth"), "no such checkpoint", "--seed")


# --- nothing is run -----------------------------------------------------------------------------------------------


class Runs:
    """An object whose unpickling would call a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(target):
    return {
        "touch": Runs(Path.touch, Path(target)),
        "system": Runs(os.system, f"touch {target}"),
        "eval": Runs(eval, f"open({target!r}, 'w')"),
        "open": Runs(open, target, "w"),
        "getattr": Runs(getattr, os, "system"),
    }


@pytest.mark.parametrize("place", ["state_dict", "config", "root", "plain pickle", "hand-made archive"])
@pytest.mark.parametrize("attack", list(attacks("x")))
def test_a_file_that_would_run_code_is_refused_and_not_run(tmp_path, attack, place):
    sentinel, path = tmp_path / "sentinel", tmp_path / "evil.pth"
    evil = attacks(str(sentinel))[attack]
    if attack == "getattr":  # modules do not pickle; what is looked up is the function
        evil = Runs(pickle.Unpickler, evil.call[0])
    state = {"state_dict": {"w": torch.zeros(2)}, "config": {}}
    if place == "plain pickle":
        path.write_bytes(pickle.dumps(state | {"x": evil}))
    elif place == "hand-made archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": {"w": evil}}, protocol=2))
            archive.writestr("archive/version", "3\n")
    else:
        torch.save(evil if place == "root" else state | {place: {"w": evil}}, path)
    with pytest.raises(UserError) as error:
        load_checkpoint(path)
    one_line(error, str(path))
    assert not sentinel.exists()


def test_the_attacks_would_work_if_the_files_were_trusted(tmp_path):
    for name in ("touch", "system", "eval", "open"):
        sentinel = tmp_path / name
        pickle.loads(pickle.dumps(attacks(str(sentinel))[name]))
        assert sentinel.exists()


def test_a_checkpoint_of_the_original_is_read_without_building_its_objects(tmp_path, monkeypatch):
    built = []
    settings = {"model": "BPR", "topk": [10], "dataset": "d"}

    class Config:
        def __init__(self):
            self.final_config_dict = settings | {"device": torch.device("cpu")}

        def __setstate__(self, state):
            built.append(state)

    Config.__module__, Config.__qualname__ = "recbole.config.configurator", "Config"
    path = tmp_path / "original.pth"
    weights = {"w": torch.arange(6.0).view(2, 3).t(), "n": torch.tensor(3)}
    with monkeypatch.context() as patch:
        patch.setattr(recbole.config.configurator, "Config", Config)
        torch.save(STATE | {"config": Config(), "state_dict": weights}, path, pickle_protocol=4)
        loaded = load_checkpoint(path)
    assert not built
    assert loaded["original"] is True
    assert loaded["config"] == settings
    assert equal(loaded["state_dict"], weights)
    assert (loaded["epoch"], loaded["best_valid_score"], loaded["optimizer"]) == (7, 0.25, None)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError):
        load_checkpoint(path)


# --- into a model -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(config, small_dataset):
    return [BPR(config("unused", embedding_size=size), small_dataset) for size in (4, 5)]


def test_weights_go_into_a_model(models, tmp_path):
    model = BPR.__new__(BPR)
    torch.nn.Module.__init__(model)
    model.user_embedding, model.item_embedding = torch.nn.Embedding(25, 4), torch.nn.Embedding(41, 4)
    load_weights(model, {"state_dict": models[0].state_dict() | {"unused": torch.zeros(1)}}, "x.pth")
    assert equal(dict(model.state_dict()), dict(models[0].state_dict()))


def test_weights_of_another_shape_or_model_are_told_in_one_line(models):
    small, large = models
    before = {name: tensor.clone() for name, tensor in small.state_dict().items()}
    with pytest.raises(UserError) as error:
        load_weights(small, {"state_dict": large.state_dict()}, "x.pth")
    one_line(error, "x.pth", "user_embedding.weight", "(25, 5)", "(25, 4)", "another data set")
    for state in ({}, {"user_embedding.weight": before["user_embedding.weight"]}, {"user_embedding.weight": "text"}):
        with pytest.raises(UserError) as error:
            load_weights(small, {"state_dict": state}, "x.pth")
        one_line(error, "x.pth", "has no parameter", "BPR")
    for content in ({}, {"state_dict": 3}, torch.zeros(2), [1]):
        with pytest.raises(UserError) as error:
            load_weights(small, content, "x.pth")
        one_line(error, "x.pth", "not a checkpoint of a model")
    assert equal(dict(small.state_dict()), before)


# --- a disk that fails --------------------------------------------------------------------------------------------


class FullDisk:
    """A file that accepts only a number of bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        self.file.__enter__()
        return self

    def __exit__(self, *error):
        return self.file.__exit__(*error)

    def write(self, data):
        self.room -= len(data)
        self.file.write(data[: max(self.room, 0)])
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(data)


@pytest.mark.parametrize("failing", [*range(0, 2800, 350), "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(saved, monkeypatch, failing):
    """The disk is full after some bytes, in the data or in the directory at the end, or at the sync or rename."""
    before = saved.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if isinstance(failing, int):
            opened = lambda *a, **k: FullDisk(open(*a, **k), failing)  # noqa: E731, SIM115
            patch.setattr("recbole.utils.files.open", opened, raising=False)
        else:
            patch.setattr(f"recbole.utils.files.os.{failing}", full)
        with pytest.raises(UserError) as error:
            save_checkpoint(saved, STATE | {"epoch": 8})
    one_line(error, "cannot write", str(saved), "No space left on device")
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["model.pth"]


def test_what_cannot_be_written_leaves_the_old_file(saved):
    before = saved.read_bytes()
    with pytest.raises(AttributeError, match="local"):
        save_checkpoint(saved, STATE | {"epoch": lambda: 8})
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["model.pth"]


def test_writing_takes_no_memory_of_the_size_of_the_file(tmp_path):
    """Measured in a process of its own, by the peak of resident memory."""
    code = """
import resource, sys, torch
from recbole.trainer import save_checkpoint
state = {"state_dict": {str(i): torch.ones(2**22) for i in range(12)}}
save_checkpoint(sys.argv[1], {"state_dict": {"0": torch.ones(4)}})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
save_checkpoint(sys.argv[1], state)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    path = tmp_path / "large.pth"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    assert path.stat().st_size > 192 * 2**20
    assert int(done.stdout) < 48, "MiB"


def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("recbole.utils.files.os.fsync", lambda *_: os.kill(os.getpid(), 9))
        save_checkpoint(saved, STATE | {"epoch": 8})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert saved.read_bytes() == before


@pytest.mark.parametrize("error_number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, monkeypatch, error_number):
    def refused(*_, **__):
        raise OSError(error_number, os.strerror(error_number))

    with monkeypatch.context() as patch:
        patch.setattr("recbole.utils.files.open", refused, raising=False)
        with pytest.raises(UserError) as error:
            save_checkpoint(tmp_path / "saved" / "x.pth", STATE)
    one_line(error, "cannot write", "x.pth", os.strerror(error_number))


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "saved").touch()
    with pytest.raises(UserError) as error:
        save_checkpoint(tmp_path / "saved" / "x.pth", STATE)
    one_line(error, "cannot write", "x.pth")


def test_a_folder_in_the_place_of_a_checkpoint_is_told(tmp_path):
    with pytest.raises(UserError) as error:
        load_checkpoint(tmp_path)
    one_line(error, str(tmp_path), "not a regular file")


@pytest.mark.parametrize("replaced", [True, False])
def test_the_digest_of_a_file_that_changed_after_it_was_read_is_refused(saved, replaced):
    content = STATE | {"meta": {"dataset": "abc"}}
    save_checkpoint(saved, content)
    read, other = Stored.read(saved), Stored.read(saved)
    assert read.sha256 == hashlib.sha256(saved.read_bytes()).hexdigest()
    if replaced:
        save_checkpoint(saved, content | {"epoch": 8})
    else:
        saved.unlink()
    with pytest.raises(UserError) as error:
        print(other.sha256)
    one_line(error, str(saved), "changed or removed during this run")
