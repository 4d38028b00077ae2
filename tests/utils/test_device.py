"""Clocks that wait for the device, its memory, and float32 products that are float32."""

import time
from types import SimpleNamespace

import pytest
import torch

from recbole.unlearning.second_order.curvature import second_order
from recbole.utils.device import full_precision, now, peak_memory


def precision():
    """Return how factors of products are rounded: an attribute of PyTorch 2.9, and its forerunner."""
    matmul = torch.backends.cuda.matmul
    return matmul.fp32_precision if hasattr(matmul, "fp32_precision") else matmul.allow_tf32


EXACT, COARSE = {"ieee", False}, {"tf32", True}


@pytest.fixture
def rounding():
    """Everything that makes a GPU's products quicker and coarser is on."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield
    torch.set_float32_matmul_precision(before)


def test_full_precision_is_full_and_ends(rounding):
    ones = torch.ones(2, 2)
    assert precision() in COARSE and (ones @ ones).dtype is torch.bfloat16
    with full_precision():
        assert precision() in EXACT and (ones @ ones).dtype is torch.float32
        with full_precision():
            assert precision() in EXACT
        assert precision() in EXACT
    assert precision() in COARSE and (ones @ ones).dtype is torch.bfloat16


def test_it_ends_after_an_error_too(rounding):
    with pytest.raises(KeyError), full_precision():
        raise KeyError
    assert precision() in COARSE


def test_before_pytorch_2_9_the_switch_has_another_name(monkeypatch):
    matmul = SimpleNamespace(allow_tf32=True)
    monkeypatch.setattr(torch.backends.cuda, "matmul", matmul)
    with full_precision():
        assert matmul.allow_tf32 is False
    assert matmul.allow_tf32 is True


def test_second_order_work_is_exact(rounding):
    linear = torch.nn.Linear(2, 2)
    with second_order(linear), second_order(linear):
        assert precision() in EXACT
        assert not torch.backends.cudnn.enabled and not torch.is_autocast_enabled("cpu")
    assert precision() in COARSE and torch.is_autocast_enabled("cpu") and torch.backends.cudnn.enabled


def test_a_clock_waits_for_a_gpu_and_for_nothing_else(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    start = time.perf_counter()
    assert start <= now() <= now("cpu") <= now("cuda:1") <= now(torch.device("cuda:0")) <= time.perf_counter()
    assert waited == ["cuda:1", torch.device("cuda:0")]


def test_memory_is_told_of_a_gpu_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**20)
    assert peak_memory("cuda:0") == {"peak_gpu_mib": 3.0} and peak_memory(torch.device("cpu")) == {}
