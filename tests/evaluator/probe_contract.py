"""Contract of probes: a probe, one part of an evaluation, is tested by a subclass of `ProbeContract` with ``probe``."""

import copy
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from contract_cover import uncovered

from recbole.evaluator import COLUMNS, EvalSettings, build_views, evaluate, get_probe
from recbole.model import get_model

SENSITIVE = np.isin(np.arange(41), [1, 5, 9, 20, 21])
ASKED = {"metrics": ["Recall", "MRR", "NDCG", "Hit", "Precision"], "topk": [5, 3], "eval_batch_size": 4096}
SETTINGS = EvalSettings.from_config(ASKED)


def without_contract(names):
    """Return those of the probes that no contract covers."""
    return uncovered(ProbeContract, "probe", names)


def bpr(dataset, seed):
    """Return an untrained BPR model with random weights."""
    torch.manual_seed(seed)
    return get_model("BPR")(dataset.config, dataset)


def checkpoint_views(dataset, forgotten):
    """Return the views of checkpoint 1, with a sensitive list."""
    return build_views(dataset, forgotten, 1, 2, SENSITIVE)


def told(rows):
    """Return rows in which NaN is replaced, so that they can be compared."""
    return [repr(row) for row in rows]


def key(row):
    """Return the columns of a row without its values."""
    return tuple(row[name] for name in COLUMNS if name not in ("value", "low", "high", "n_rows", "n_skipped"))


class ProbeContract(ABC):
    """A probe is a pure function of a model and fixed evaluation data, and returns result rows."""

    probe: ClassVar[str]
    splits: ClassVar[set[str]] = {"test"}

    @abstractmethod
    def view(self, dataset, forgotten):
        """Return the evaluation data of the data set after the rows ``forgotten`` (bool [len(log)]) were forgotten."""

    @pytest.fixture
    def some(self, small_dataset):
        """A model, evaluation data with rows, and a reference model."""
        forgotten = np.zeros(len(small_dataset.log), dtype=bool)
        forgotten[small_dataset.log.rows_of([3, 20])[::2]] = True
        model, other = bpr(small_dataset, 1), bpr(small_dataset, 2)
        return model, self.view(small_dataset, forgotten), (other, "r.pth 0f")

    def rows(self, model, view, reference=None, settings=SETTINGS, /, **about):
        return evaluate(model, view, settings, [get_probe(self.probe)()], reference, **about)

    def test_it_is_found_by_its_name(self):
        assert get_probe(self.probe).name == self.probe

    def test_rows_have_all_columns_and_none_comes_twice(self, some):
        rows = self.rows(*some, model="unlearned", algorithm="scif", checkpoint=1)
        assert rows and all(tuple(row) == COLUMNS for row in rows)
        assert len(set(map(key, rows))) == len(rows)
        about = {(row["model"], row["algorithm"], row["checkpoint"], row["split"]) for row in rows}
        assert about == {("unlearned", "scif", 1, split) for split in self.splits}
        for row in rows:
            assert type(row["value"]) is float and type(row["n_rows"]) is type(row["n_skipped"]) is int
            assert row["k"] is None or type(row["k"]) is int
            assert row["low"] is None or row["low"] <= row["value"] <= row["high"]
            assert (row["minus"] is None) or row["reference"] == "r.pth 0f"
            assert all(row[name] for name in ("metric", "view", "population", "masking"))

    def test_it_changes_neither_model_nor_view(self, some):
        model, view, reference = some
        state, frozen = copy.deepcopy(model.state_dict()), copy.deepcopy(view)
        drawn = torch.get_rng_state(), repr(np.random.get_state())
        first = self.rows(model, view, reference)
        assert told(self.rows(model, view, reference)) == told(first)
        assert told(self.rows(model, frozen, reference)) == told(first), "the evaluation data is unchanged"
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        assert torch.equal(torch.get_rng_state(), drawn[0]) and repr(np.random.get_state()) == drawn[1]

    def test_its_rows_depend_on_the_model(self, some, small_dataset):
        _, view, reference = some
        one, other = (self.rows(bpr(small_dataset, seed), view, reference) for seed in (1, 3))
        assert list(map(key, one)) == list(map(key, other)) and told(one) != told(other)

    def test_the_batch_size_does_not_matter(self, some):
        whole, pieces = (self.rows(*some, replace(SETTINGS, batch_size=size)) for size in (4096, 5))
        assert list(map(key, whole)) == list(map(key, pieces))
        assert [row["value"] for row in pieces] == pytest.approx([row["value"] for row in whole], rel=1e-5, nan_ok=True)

    def test_without_a_reference_only_distances_are_missing(self, some):
        model, view, reference = some
        alone = self.rows(model, view)
        assert told(alone) == told([row for row in self.rows(model, view, reference) if row["reference"] is None])

    def test_without_users_values_are_nan_without_a_warning(self, some, small_dataset, recwarn):
        model, _, reference = some
        nobody = self.view(small_dataset, np.ones(len(small_dataset.log), dtype=bool))
        rows = [row for row in self.rows(model, nobody, reference) if not row["n_rows"]]
        assert all(np.isnan(row["value"]) or row["metric"].startswith("total_") for row in rows)
        assert not recwarn.list
