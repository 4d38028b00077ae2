from types import SimpleNamespace

import pytest

from recbole.utils import device
from recbole.utils.clock import Clock


@pytest.fixture
def times(monkeypatch):
    """The readings that the clock gives, one after the other."""
    left = []
    monkeypatch.setattr(device, "time", SimpleNamespace(perf_counter=lambda: left.pop(0)))
    return left


def test_laps_add_up_by_phase(times):
    times += [10.0, 11.0, 13.0, 16.0]
    laps = Clock("cpu", "load", "work", "rest")
    assert [laps.lap("load"), laps.lap("work"), laps.lap("load")] == [1.0, 2.0, 3.0]
    assert laps.phases == {"load": 4.0, "work": 2.0, "rest": 0.0}


def test_phases_join_as_they_end_and_are_seconds_in_a_record(times):
    times += [0.0, 2.0, 2.5]
    run = Clock("cpu")
    assert run.seconds == {} and run.lap("train") == 2.0
    run.lap("train")
    assert run.seconds == {"train_seconds": 2.5}
