"""`benchmarks/gpu.py` on the CPU: it runs, writes results immediately, and reports what it cannot do."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from fake_device import fake_device

ROOT = Path(__file__).parents[1]
TINY = ("--device", "cpu", "--size", "tiny")


def start(out, *arguments):
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        ["bash", str(ROOT / "benchmarks" / "gpu.sh"), "--out", str(out), *arguments],
        **{"env": environment, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT},
    )


def test_it_measures_and_writes(tmp_path):
    process = start(
        tmp_path / "x.json", *TINY, "--parts", "models", "algorithms", "propagation", "strict", "--only", "BPR"
    )
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0, told
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["complete"] and found["device"] == "cpu" and found["card"] is None
    parts = found["parts"]
    assert parts["models"]["BPR"]["cpu"]["epoch_seconds"] > 0
    assert len(parts["algorithms"]) == 7 and len(parts["strict"]) == 8
    assert all(one["cpu"]["request_seconds"] > 0 for one in parts["algorithms"].values())
    assert parts["propagation"]["torch CSR"]["cpu"]["seconds"] > 0
    assert "scif on BPR" in told and "strict: 8 of 8 ran" in told
    assert {path.name for path in tmp_path.iterdir()} == {"x.json"}


def test_what_there_is_is_kept_when_it_is_stopped(tmp_path):
    process = start(tmp_path / "x.json", *TINY, "--parts", "algorithms")
    for line in process.stdout:
        if "scif on BPR" in line:
            break
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=60)
    found = json.loads((tmp_path / "x.json").read_text())
    assert "stopped" in told and not found["complete"]
    assert found["parts"]["algorithms"]["scif on BPR"]["cpu"]["request_seconds"] > 0


def test_it_stops_in_time(tmp_path):
    began = time.monotonic()
    process = start(tmp_path / "x.json", *TINY, "--parts", "strict", "--minutes", "0.02")
    told, _ = process.communicate(timeout=60)
    assert "no time" in told and time.monotonic() - began < 30


def test_its_measurements_mix_nothing_with_the_cpu(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu_parts

    with fake_device() as device:
        data, found = gpu_parts.Data("tiny"), {}
        gpu_parts.of_model(found, data, "GRU4Rec", device)
        gpu_parts.of_algorithm(found, data, ("scif", "GRU4Rec"), device)
        gpu_parts.of_propagation(found, "tiny", gpu_parts.WAYS[0], device)
    assert found["status"] == "applied" and min(found["epoch_seconds"], found["seconds"], found["request_seconds"]) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="is for a machine without a GPU")
def test_without_a_gpu_it_says_so(tmp_path):
    process = start(tmp_path / "x.json")
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 2 and "no CUDA device" in told and not list(tmp_path.iterdir())
