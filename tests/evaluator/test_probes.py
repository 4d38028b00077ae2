"""The probes: a contract for each, and look-up by name."""

from typing import ClassVar

import numpy as np
import pytest
from probe_contract import SETTINGS, ProbeContract, bpr, checkpoint_views, without_contract

from recbole.evaluator import TargetView, evaluate, get_probe, probe, probe_names, probes

MORE = '''
"""One question more."""

from recbole.evaluator import Probe, Table, Views


class Count(Probe[Views]):
    """How many rows are shown."""

    name = "count"

    def ask(self, model, view, settings, reference):
        table = Table(split="test", model="mine")
        table.add("rows", len(view.shown.entity))
        return table.rows
'''


class TestUtility(ProbeContract):
    probe = "utility"

    def view(self, dataset, forgotten):
        return checkpoint_views(dataset, forgotten)


class TestExposure(ProbeContract):
    probe = "exposure"

    def view(self, dataset, forgotten):
        return checkpoint_views(dataset, forgotten)


class TestDistance(ProbeContract):
    probe = "distance"

    def view(self, dataset, forgotten):
        return checkpoint_views(dataset, forgotten)


class TestForgotten(ProbeContract):
    probe = "forgotten"
    splits: ClassVar[set[str]] = {"train", "held_out"}

    def view(self, dataset, forgotten):
        return checkpoint_views(dataset, forgotten)


class TestTargets(ProbeContract):
    probe = "targets"

    def view(self, dataset, forgotten):
        return TargetView(dataset.masked(forgotten).eval_rows("test"), np.array([3, 14, 15]))


def test_every_probe_has_a_contract():
    assert probe_names() == ["distance", "exposure", "forgotten", "targets", "utility"]
    assert without_contract(probe_names()) == []


@pytest.fixture
def one_more(tmp_path, monkeypatch):
    """Add one file to the folder of probes."""
    (tmp_path / "count.py").write_text(MORE)
    monkeypatch.setattr(probes, "__path__", [*probes.__path__, str(tmp_path)])
    probe._classes.cache_clear()
    yield
    probe._classes.cache_clear()


def test_a_new_probe_is_one_file_and_needs_a_contract(one_more, small_dataset):
    assert probe_names() == ["count", "distance", "exposure", "forgotten", "targets", "utility"]
    assert without_contract(probe_names()) == ["count"]
    view = checkpoint_views(small_dataset, np.zeros(len(small_dataset.log), dtype=bool))
    asked = [get_probe(name)() for name in ("utility", "count")]
    rows = evaluate(bpr(small_dataset, 1), view, SETTINGS, asked, model="base", algorithm="scif")
    last = rows[-1]
    assert (last["metric"], last["value"], last["model"], last["algorithm"]) == ("rows", 24.0, "mine", "scif")
    assert {row["model"] for row in rows[:-1]} == {"base"}


def test_an_unknown_name_is_rejected():
    with pytest.raises(ValueError, match="no probe 'targts'; known: distance, exposure, forgotten, targets, utility"):
        get_probe("targts")
    with pytest.raises(ValueError, match=r"not columns of the result table: \['modl'\]"):
        evaluate(None, None, SETTINGS, [], modl="base")
