"""Clocks that wait for the device, its memory, and float32 products that are float32."""

import time
from types import SimpleNamespace

import pytest
import torch

from recbole.unlearning.second_order.curvature import second_order
from recbole.utils.device import _float32_switches, full_precision, now, peak_memory


def switches():
    return [getattr(holder, name) for holder, name, _ in _float32_switches()]


@pytest.fixture
def rounding():
    """Everything that makes a GPU's products quicker and coarser is on."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield
    torch.set_float32_matmul_precision(before)


def test_full_precision_is_full_and_ends(rounding):
    coarse, ones = switches(), torch.ones(2, 2)
    exact = [value for *_, value in _float32_switches()]
    assert coarse != exact and (ones @ ones).dtype is torch.bfloat16
    with full_precision():
        assert switches() == exact and (ones @ ones).dtype is torch.float32
    assert switches() == coarse and (ones @ ones).dtype is torch.bfloat16


def test_it_ends_after_an_error_too(rounding):
    coarse = switches()
    with pytest.raises(KeyError), full_precision():
        raise KeyError
    assert switches() == coarse


def test_before_pytorch_2_9_the_switches_have_other_names(monkeypatch):
    matmul, cudnn = SimpleNamespace(allow_tf32=True), SimpleNamespace(allow_tf32=True)
    monkeypatch.setattr(torch.backends.cuda, "matmul", matmul)
    monkeypatch.setattr(torch.backends, "cudnn", cudnn)
    with full_precision():
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (False, False)
    assert (matmul.allow_tf32, cudnn.allow_tf32) == (True, True)


def test_second_order_work_is_exact(rounding):
    """PyTorch's own switch of cuDNN would turn TF32 on again."""
    with second_order(torch.nn.Linear(2, 2)):
        assert switches() == [value for *_, value in _float32_switches()]
        assert not torch.backends.cudnn.enabled and not torch.is_autocast_enabled("cpu")
    assert torch.is_autocast_enabled("cpu") and torch.backends.cudnn.enabled


def test_a_clock_waits_for_a_gpu_and_for_nothing_else(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    start = time.perf_counter()
    assert start <= now() <= now("cpu") <= now("cuda:1") <= now(torch.device("cuda:0")) <= time.perf_counter()
    assert waited == ["cuda:1", torch.device("cuda:0")]


def test_memory_is_told_of_a_gpu_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**20)
    assert peak_memory("cuda:0") == {"peak_gpu_mib": 3.0} and peak_memory(torch.device("cpu")) == {}
