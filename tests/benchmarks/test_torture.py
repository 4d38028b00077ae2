"""`benchmarks/torture.py`: how it damages files, when a trial holds, and that finished trials are not repeated."""

import importlib
import json
import os
import random
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def torture(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0.1")
    return importlib.import_module("torture")


@pytest.fixture
def hostile(torture):
    return importlib.import_module("torture_hostile")


def test_every_part_of_a_file_is_changed_in_some_trial(hostile):
    seen = set()
    for number in range(300):
        content = {"state_dict": {"w": torch.zeros(2, 2)}, "config": {"topk": [1, 2], "deep": {"er": 3}}, "epoch": 1}
        told = hostile.changed(content, random.Random(number))
        seen.add(told.rpartition("(")[2] if "(" in told else told)
    for path in ("'epoch',)", "'state_dict', 'w')", "'config', 'topk', 1)", "'config', 'deep', 'er')"):
        assert path in seen


def test_exactly_one_bit_is_flipped(hostile):
    raw = bytes(100)
    found = [hostile.flipped(raw, random.Random(number)) for number in range(20)]
    assert all(sum(byte.bit_count() for byte in one) == 1 for one in found) and len(set(found)) > 15


def test_same_values_compares_exactly(hostile):
    one = {"a": torch.tensor([1.0]), "b": [float("nan"), "x"]}
    assert hostile.same_values(one, {"a": torch.tensor([1.0]), "b": [float("nan"), "x"]})
    for other in ({"a": torch.tensor([1.0000001]), "b": one["b"]}, {"a": one["a"], "b": ["x"]}, {"a": one["a"]}):
        assert not hostile.same_values(one, other)


@pytest.mark.parametrize(
    ("work", "status", "told"),
    [
        (lambda: 3, 3, ""),
        (lambda: 1 // 0, 1, "ZeroDivisionError"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL, ""),
    ],
)
def test_a_child_process_reports_status_errors_and_memory(torture, capfd, work, status, told):
    ended, err, mib = torture.ended(work)
    assert ended == status and told in err and mib > 1


def test_a_run_is_killed_at_a_change_to_our_files(torture, tmp_path, monkeypatch):
    def writes(run):
        for name in ("saved/a", "other", "saved/b"):
            Path(name).write_text("x")

    monkeypatch.setattr(torture, "call", writes)
    (tmp_path / "one/saved").mkdir(parents=True)
    assert torture.changes(None, tmp_path / "one") == 2
    (tmp_path / "two/saved").mkdir(parents=True)
    assert torture.changes(None, tmp_path / "two", 1) == -signal.SIGKILL
    assert os.listdir(tmp_path / "two/saved") == ["a"]


def test_finished_trials_are_not_repeated(torture, tmp_path, monkeypatch, capsys):
    tried = []

    def attempt(place, draw, number):
        tried.append((number, draw.random()))
        return "it broke" if number == 1 else ""

    monkeypatch.setattr(torture, "Place", lambda home, models: None)
    monkeypatch.setattr(torture, "try_flips", attempt)
    others = [word for kind in torture.KINDS if kind != "flips" for word in (f"--{kind}", "0")]
    words = [*others, "--out", str(tmp_path / "out.jsonl")]
    assert torture.main([*words, "--flips", "2"]) == 1
    assert "flips: 1 of 2 held" in capsys.readouterr().out
    assert torture.main([*words, "--flips", "3"]) == 1
    assert [number for number, _ in tried] == [0, 1, 2] and len({value for _, value in tried}) == 3
    assert [json.loads(line)["reason"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        "",
        "it broke",
        "",
    ]
    assert "2 of 3 held" in capsys.readouterr().out


@pytest.fixture
def settings(torture):
    return importlib.import_module("torture_settings")


def test_odd_settings_of_all_kinds_are_drawn(settings):
    drawn = [settings.Setting(random.Random(number)) for number in range(300)]
    assert str(settings.Setting(random.Random(7))) == str(drawn[7])
    assert all(any(kind) for kind in zip(*((one.words, one.text, one.environment) for one in drawn), strict=True))
    assert {one.text for one in drawn} > {settings.TEXTS[0], settings.TEXTS[-1]}


@pytest.mark.parametrize(
    ("status", "told", "reason"),
    [
        (0, "", ""),
        (2, "one\n", ""),
        (2, "one\nx: unknown key 'a'\n", ""),
        (2, "unknown key 'a'\n", ""),
        (2, "one\ntwo\n", "exit 2"),
        (1, "", "exit 1"),
    ],
)
def test_a_setting_holds_if_the_run_succeeds_or_gives_a_one_line_error(
    settings, tmp_path, monkeypatch, status, told, reason
):
    monkeypatch.chdir(tmp_path)

    def call(words):
        assert "tiny.yaml odd.yaml" in words and Path("odd.yaml").read_text() == "a: 1" and os.environ["ODD"] == "x"
        sys.stderr.write(told)
        return status

    setting = settings.Setting(random.Random(1))
    setting.text, setting.environment = "a: 1", {"ODD": "x"}
    assert settings.held(setting, call).startswith(reason) and bool(settings.held(setting, call)) == bool(reason)
    assert "ODD" not in os.environ
    assert settings.held(setting, lambda words: 1 // 0).startswith("ZeroDivisionError")


def test_a_setting_that_ends_the_process_fails(settings, monkeypatch, tmp_path):
    answers = iter([["", "it ended"], ["", *[""] * 17]])
    place = SimpleNamespace(settled={})
    monkeypatch.setattr(settings, "several", lambda place, drawn: next(answers))
    found = [settings.tried(place, "seed ", 20 + at) for at in range(20)]
    assert [bool(reason) for reason in found] == [False, True, *[False] * 18] and found[1].endswith(": it ended")


def test_a_disk_becomes_full_and_has_space_again(torture, tmp_path):
    disks = importlib.import_module("torture_disks")

    def writes():
        disk.limit()
        (tmp_path / "x").write_bytes(bytes(9000))
        return 0

    with disks.Disk(tmp_path, real=False) as disk:
        disk.leave(4)
        status, err, _ = torture.ended(writes)
        assert status == 1 and "File too large" in err
        disk.leave(None)
        assert torture.ended(writes)[0] == 0
