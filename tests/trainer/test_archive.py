"""Corrupt or malicious tensor files: a one-line error, or unchanged values."""

import io
import json
import os
import pickle
import random
import resource
import shutil
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recbole import RESULTS_VERSION
from recbole.config import Config
from recbole.config.identity import canonical, deciding
from recbole.model.general_recommender.bpr import BPR
from recbole.trainer import ResumeFile, load_checkpoint, load_weights, save_checkpoint
from recbole.trainer.archive import SHA256, check_content
from recbole.trainer.optimizers import Adam, check_state
from recbole.trainer.resume import alike
from recbole.trainer.stored import Stored, adopt
from recbole.utils import UserError

STATE = {
    "config": {"topk": [10, 20], "model": "BPR"},
    "epoch": 7,
    "state_dict": {"w": torch.arange(600.0).view(20, 30), "n": torch.tensor([3, 4])},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}},
    "meta": None,
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.pth"
    save_checkpoint(path, STATE)
    return path


def refused(path, *words):
    with pytest.raises(UserError) as error:
        load_checkpoint(path)
    message = str(error.value)
    assert "\n" not in message and str(path) in message and all(word in message for word in words), message


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@pytest.mark.parametrize("kind", ["ours", "foreign", "resume"])
def test_no_single_bit_that_flips_gives_other_values(tmp_path, kind):
    path = tmp_path / ("x.resume" if kind == "resume" else "x.pth")
    if kind == "foreign":
        torch.save(STATE | {"state_dict": OrderedDict(STATE["state_dict"])}, path, pickle_protocol=4)
    else:
        save_checkpoint(path, STATE)
    whole, draw, told = path.read_bytes(), random.Random(3), 0
    before = load_checkpoint(path)
    for _ in range(60):
        flipped = bytearray(whole)
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        try:
            assert same(load_checkpoint(path), before)
        except UserError:
            told += 1
    assert told > 30


def test_the_record_beside_names_the_file(saved, tmp_path):
    record = saved.with_suffix(".json")
    record.write_text(json.dumps({SHA256: "0" * 64}))
    refused(saved, "model.json", "SHA-256 differs")
    for text in ('{"file_sha256": 3}', "[1]", "{", "[" * 100_000, "\udce9".encode("utf-8", "surrogateescape")):
        record.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(UserError) as error:
            load_checkpoint(saved)
        assert str(record) in str(error.value) and "\n" not in str(error.value)
    record.write_text('{"of": "another program"}')
    assert same(load_checkpoint(saved), STATE)
    shutil.copy(saved, tmp_path / "model.resume")
    record.write_text(json.dumps({SHA256: "0" * 64}))
    assert same(load_checkpoint(tmp_path / "model.resume"), STATE)


def test_a_new_file_takes_the_record_of_the_old_one_away(saved):
    saved.with_suffix(".json").write_text(json.dumps({SHA256: "0" * 64}))
    save_checkpoint(saved, STATE | {"epoch": 8})
    assert load_checkpoint(saved)["epoch"] == 8 and os.listdir(saved.parent) == ["model.pth"]


def test_what_is_shared_in_a_state_does_not_change_its_bytes(tmp_path):
    """After reading a snapshot, equal texts and lists are other objects than before."""
    topk, key = [1, 2], "".join(["st", "ep"])
    for name, state in (
        ("one", {"a": topk, "b": topk, "step": {"step": 1}}),
        ("two", {"a": [1, 2], "b": [1, 2], key: {"step": 1}}),
    ):
        save_checkpoint(tmp_path / name, {"state_dict": state})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


# --- archives that nobody wrote ---------------------------------------------------------------------------------------


def archive_of(path, pickled):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/version", "3\n")
        archive.writestr("a/byteorder", "little")


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def legacy(path):
    """Write a file in torch's format before zip archives, which claims to have half a billion numbers."""
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(1)}, buffer, _use_new_zipfile_serialization=False)
    path.write_bytes(buffer.getvalue().replace(b"K\x01N", b"J\x00\x00\x00\x20N"))


def deflated(path):
    archive_of(path, pickle.dumps({"state_dict": {}}, 2))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("a/data/0", "w") as member:
        for _ in range(96):
            member.write(bytes(2**20))


def many_dictionaries(path):
    archive_of(path, b"\x80\x02](" + b"}" * (8 << 20) + b"e.")


def far_memo(path):
    archive_of(path, b"\x80\x02cyaml.loader\nFullLoader\n}r\xff\xff\xff\x0f.")


def wide_view(path):
    torch.save({"state_dict": {"w": torch.zeros(1).expand(2**30)}}, path)


def laughs(path):
    value = []
    for _ in range(40):
        value = [value, value]
    torch.save({"state_dict": {}, "config": {"a": value}}, path)


def nested(path):
    value = []
    for _ in range(300):
        value = [value]
    torch.save({"state_dict": {}, "config": {"a": value}}, path)


def itself(path):
    value = {}
    value["me"] = value
    archive_of(path, pickle.dumps({"state_dict": value}, 2))


GROWING = [legacy, deflated, many_dictionaries, far_memo, wide_view, laughs, nested, itself]


@pytest.mark.parametrize("make", GROWING, ids=lambda make: make.__name__)
def test_what_would_grow_is_told_before_it_does(tmp_path, make):
    path = tmp_path / "x.pth"
    make(path)
    before = peak()
    refused(path)
    assert peak() - before < 64, "MiB"


def test_members_that_share_their_bytes_are_refused(saved):
    raw = saved.read_bytes()
    at = raw.rindex(b"archive/data/1")  # in the directory: change it to point to member 0
    first = raw.rindex(b"archive/data/0")
    offset = slice(at - 4, at)
    saved.write_bytes(raw[: offset.start] + raw[first - 4 : first] + raw[offset.stop :])
    refused(saved)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(2, dtype=torch.complex64),
        lambda: torch.zeros(2, 2).to_sparse(),
        lambda: torch.zeros(2, device="meta"),
        lambda: torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8),
        lambda: torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)]),
    ],
    ids=["complex", "sparse", "meta", "quantized", "nested"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_no_plain_arrays_are_refused(tmp_path, make):
    path, tensor = tmp_path / "x.pth", make()
    torch.save({"state_dict": {"w": tensor}}, path)
    refused(path)
    with pytest.raises(UserError):
        check_content({"state_dict": {"w": tensor}}, path)


def test_a_tensor_outside_of_its_storage_is_refused(tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"state_dict": {"w": torch.zeros(3)}}, path)
    content = zipfile.ZipFile(path)
    members = {name: content.read(name) for name in content.namelist()}
    members["x/data.pkl"] = members["x/data.pkl"].replace(b"K\x03\x85q", b"K\x09\x85q")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert zlib.crc32(members["x/data.pkl"]) == zipfile.ZipFile(path).getinfo("x/data.pkl").CRC
    refused(path)


TEXT = st.text(alphabet="ab\n\u00e9\udce9\0", max_size=4)
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.binary(max_size=3),
        st.just(torch.zeros(2)), st.just(torch.tensor(True)), st.just(torch.ones(1, dtype=torch.complex64)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(TEXT, st.integers()), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip
KEYS = ("config", "epoch", "state_dict", "other_parameter", "optimizer", "meta")
META = ("kind", "dataset", "mask", "settings", "results_version")


@pytest.fixture(scope="module")
def model(config, small_dataset):
    return BPR(config("unused"), small_dataset)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.dictionaries(st.sampled_from(KEYS), values, max_size=4),
    meta=st.none() | st.dictionaries(st.sampled_from(META), values, max_size=4),
    fits=st.booleans(),
)
@example(content={"other_parameter": -1}, meta=None, fits=True)
@example(content={"other_parameter": {"predict": 1}}, meta=None, fits=True)
def test_whatever_a_file_holds_is_read_or_told_in_one_line(tmp_path, model, content, meta, fits):
    path = tmp_path / "x.pth"
    content |= {"state_dict": model.state_dict()} if fits else {}
    torch.save(content | ({} if meta is None else {"meta": meta}), path)
    try:
        stored = Stored.read(path)
        assert stored.identity is None or len(stored.identity.digest) == 64
        load_weights(model, stored.content, path)
    except UserError as error:
        assert "\n" not in str(error) and str(path) in str(error)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(sorted(deciding(Config("BPR", "ml-100k").as_dict(), "BPR"))), value=values)
@example(key="embedding_size", value="\udce9\n")
@example(key="valid_metric", value="\0")
@example(key="eval_args", value={"split": {"RS": [0.8, 0.1, 0.1]}, "group_by": "user", "mode": "full"})
def test_settings_of_a_file_are_those_that_a_user_could_set_or_told_in_one_line(config, caplog, key, value):
    of_run = config("unused")
    try:
        canonical(value)  # as Stored.read checks
    except (TypeError, ValueError):
        return
    stored = Stored(Path("x.pth"), {}, deciding(of_run.as_dict(), "BPR") | {key: value}, RESULTS_VERSION)
    try:
        with caplog.at_level("INFO", "recbole"):
            adopt(of_run, stored)
    except UserError as error:
        assert "\n" not in str(error) and "x.pth" in str(error)
    else:
        Config.restored(of_run.as_dict())
    assert all(record.getMessage().isprintable() for record in caplog.records)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dtype=st.sampled_from([torch.bool, torch.int64, torch.uint8, torch.float64, torch.float16, torch.complex64]),
    shape=st.sampled_from([(25, 4), (4, 25), (100,), (), (0, 4)]),
)
def test_weights_of_another_kind_are_not_cast(model, dtype, shape):
    state = dict(model.state_dict()) | {"user_embedding.weight": torch.zeros(shape, dtype=dtype)}
    fits = dtype.is_floating_point and shape == tuple(model.user_embedding.weight.shape)
    try:
        load_weights(model, {"state_dict": state}, "x.pth")
        assert fits
    except UserError as error:
        assert not fits and "user_embedding.weight" in str(error)


def test_a_snapshot_that_does_not_fit_is_told(tmp_path):
    resume = ResumeFile(tmp_path / "x.resume", "run")
    resume.save({"a": 1})
    for fault in (KeyError("b"), TypeError("c"), RuntimeError("size mismatch\nof d"), IndexError()):
        told = r"x\.resume is not a snapshot of this run .* delete it"
        with pytest.raises(UserError, match=told) as error, resume.restoring():
            raise fault
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "example", "good"),
    [
        (3, 0, True), (True, 0, False), (1.5, 0, False), (-2, 0, False), (3, 0.0, True), (None, 0.0, False),
        ([1, 2.0], [], True), ([[]], [], False), ({"a": 1}, {}, True), ({"a": "b"}, {}, False), ([], {}, False),
        ("a", "", True), (3, "", False), (None, None, True),
    ],
)  # fmt: skip
def test_plain_values_of_a_snapshot_are_of_the_kind_that_they_were(value, example, good):
    if good:
        assert alike(value, example) == value
        return
    with pytest.raises(TypeError):
        alike(value, example)


@pytest.mark.parametrize(
    ("part", "value"),
    [("lr", None), ("betas", 3), ("exp_avg", torch.zeros(3)), ("exp_avg", 0), ("exp_avg_sq", []), ("step", "x")],
)
def test_the_state_of_an_optimizer_fits_its_parameters(part, value):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = Adam([weight])
    weight.grad = torch.ones(2)
    optimizer.step()
    check_state(optimizer)
    (optimizer.param_groups[0] if part in optimizer.defaults else optimizer.state[weight])[part] = value
    with pytest.raises((TypeError, ValueError), match=part):
        check_state(optimizer)
