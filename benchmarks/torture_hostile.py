"""Files for `torture.py` to damage, by random values or random bytes, and the commands that read them."""

import importlib
import json
import os
from collections import OrderedDict
from pathlib import Path

import torch
from kills import life

ODD = (
    None, True, -1, 0, 2**31, 2**70, float("nan"), float("inf"), "", "x" * 1000, "\udce9", "a\nb", [], {}, [[]], (1,),
    b"x", {"a": {"b": []}},
)  # fmt: skip
"""Values that replace a value of another type."""


def _odd_tensors(draw, tensor):
    """Return functions without arguments that each return a damaged variant of a tensor."""
    flat = tensor.reshape(-1).clone()
    if len(flat) and not flat.is_complex():
        flat[draw.randrange(len(flat))] = draw.choice([-1, 0, 1, 100]) if flat.dtype != torch.bool else True
    return [
        lambda: tensor.to(torch.bool), lambda: tensor.to(torch.complex64), lambda: tensor.to(torch.int64),
        tensor.double, tensor.to_sparse, lambda: tensor.to("meta"), lambda: flat.view(tensor.shape),
        lambda: torch.full(tensor.shape, float("nan")), lambda: tensor[:-1] if tensor.dim() else tensor[None],
        lambda: torch.zeros(1).expand(2**28), lambda: torch.cat([flat, flat]), lambda: torch.zeros(0),
        lambda: tensor.t() if tensor.dim() == 2 else tensor, lambda: {"x": tensor}, lambda: [tensor],
    ]  # fmt: skip


def places_in(value, path=()):
    """Yield the path, a tuple of keys and indices, of every value in nested dictionaries and lists."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*path, key)
        yield from places_in(part, (*path, key))


def changed(value, draw):
    """Change or delete one random part of nested dictionaries and lists in place; return a description.

    A maximum depth is drawn first, so that the few upper parts are changed as often as the many deep ones.
    """
    paths = list(places_in(value))
    deepest = draw.randint(1, max(map(len, paths)))
    path = draw.choice([path for path in paths if len(path) <= deepest])
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    part = holder[path[-1]]
    if draw.random() < 0.15:
        del holder[path[-1]]
        return f"without {path}"
    if isinstance(part, torch.Tensor) and draw.random() < 0.7:
        holder[path[-1]] = draw.choice(_odd_tensors(draw, part))()
        return f"another tensor at {path}"
    holder[path[-1]] = draw.choice(ODD)
    return f"{holder[path[-1]]!r:.30} at {path}"


def flipped(raw, draw):
    """Return a copy of bytes with one random bit flipped."""
    raw = bytearray(raw)
    raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    return bytes(raw)


def torn(raw, draw):
    """Return bytes of which a random range was cut off, repeated or overwritten."""
    at, to = sorted(draw.randrange(len(raw) + 1) for _ in range(2))
    return draw.choice([raw[:at], raw[at:], raw[:to] + raw[at:], raw[:at] + draw.randbytes(to - at) + raw[to:]])


def same_values(one, other):
    """Return whether two nested values with tensors are equal; NaN equals NaN outside of tensors."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return (
            isinstance(other, dict) and one.keys() == other.keys() and all(same_values(one[k], other[k]) for k in one)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same_values, one, other))
    return one == other or (one != one and other != other)  # noqa: PLR0124 (NaN equals NaN here)


class Subject:
    """A file to damage, and the command that reads it.

    Args:
        folder: working folder of the command.
        path: path of the file, in this folder.
        command: the command, a `same_bits_runs.Run`.

    Attributes:
        name: path of the file relative to the folder.
        is_archive: whether the file is a checkpoint or a snapshot; otherwise it is JSON.
    """

    def __init__(self, folder, path, command):
        self.folder, self.path, self.command = folder, path, command
        self.name = str(path.relative_to(folder))
        self.is_archive = path.suffix != ".json"
        self._peak = None

    def change(self, folder, draw):
        """Damage the file in a copy of the folder; return a description."""
        path = folder / self.name
        if draw.random() < 0.25:
            path.write_bytes(torn(path.read_bytes(), draw))
            return "torn"
        if not self.is_archive:
            content = json.loads(path.read_text())
            told = changed(content, draw)
            path.write_text(json.dumps(content, default=str))
            return told
        path.with_suffix(".json").unlink(missing_ok=True)  # its checksum would reveal the change immediately
        content = torch.load(path, weights_only=True)
        told = changed(content, draw)
        torch.save(content, path, _use_new_zipfile_serialization=draw.random() < 0.97)
        return told

    def run(self, folder):
        """Run the command in a copy of the folder; return its exit status."""
        os.chdir(folder)
        programs = importlib.import_module("recbole.quick_start.main")
        main = programs.train_main if self.command.program == "train" else programs.unlearn_main
        return main(list(self.command.words))

    def peak(self, place, ended):
        """Return the peak memory of the command with the undamaged file, in MiB."""
        if self._peak is None:
            folder = place.copy(self.folder)
            self._peak = ended(lambda: self.run(folder))[2]
        return self._peak


def _of(place, label):
    return next(step for step in place.steps if step.run.label == label)


def _evaluated(place, label, pattern):
    """Return a subject: the checkpoint that matches `pattern`, evaluated by the command of the step `label`."""
    step = _of(place, label)
    (path,) = step.left.glob(f"saved/{pattern}")
    return Subject(step.left, path, step.run._replace(words=(*step.run.words, "--eval_only")))


def base(place):
    """Return a subject: the checkpoint of a trained base model."""
    return _evaluated(place, "BPR sensitive base", "*_best.pth")


def learned(place):
    """Return a subject: an unlearned checkpoint of ItemKNN, which contains its sparse similarity matrix."""
    steps = [_of(place, "EASE sensitive base"), _of(place, "EASE sensitive exact")]
    folder = place.copy(steps[0].found)
    runs = [
        step.run._replace(words=tuple(word.replace("EASE", "ItemKNN") for word in step.run.words)) for step in steps
    ]
    for run in runs:
        life(run, folder)
    (path,) = folder.glob("saved/*_unlearn_epoch_*_to_match_3.pth")
    return Subject(folder, path, runs[1]._replace(words=(*runs[1].words, "--eval_only")))


def foreign(place):
    """Return a subject: a base checkpoint in the format of ERASE, without our metadata."""
    step = _of(place, "BPR sensitive base")
    folder = place.copy(step.left)
    (path,) = folder.glob("saved/*_best.pth")
    content = torch.load(path, weights_only=True)
    content["state_dict"], content["meta"] = OrderedDict(content["state_dict"]), None
    torch.save(content, path, pickle_protocol=2)
    path.with_suffix(".json").unlink()
    return Subject(folder, path, step.run._replace(words=(*step.run.words, "--eval_only")))


def snapshot(place):
    """Return a subject: the snapshot of a training that was killed.

    Raises:
        RuntimeError: none of several kills left a snapshot.
    """
    from torture import changes

    step = _of(place, "BPR sensitive base")
    for at in range(30, 2, -3):
        folder = place.copy(step.found)
        changes(step.run, folder, at)
        if found := list(folder.glob("saved/[!.]*.resume")):
            return Subject(folder, found[0], step.run)
    raise RuntimeError("the training was killed at several moments, but none of the kills left a snapshot")


def record(place):
    """Return a subject: the record (.json) of a retrained model, from which unlearn.py reads the cost of retraining."""
    step = _of(place, "BPR sensitive gif")
    path = next(path for path in step.left.glob("saved/*_to_match_3_*_0.02_*.json") if "same_epoch" not in path.name)
    return Subject(step.left, Path(path), step.run._replace(words=(*step.run.words, "--eval_only")))


SUBJECTS = (base, learned, foreign, snapshot, record)
"""Functions that return a `Subject`, given a `torture.Place`."""
