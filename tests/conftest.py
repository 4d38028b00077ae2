"""Fixtures for all tests: small data sets, configurations, and the folder of real data."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, settings
from shard_worlds import ensembles  # noqa: F401 - a fixture
from small_worlds import worlds  # noqa: F401 - a fixture

from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.log import InteractionLog
from recbole.data.sbr import SequentialDataset
from recbole.data.vocabulary import Vocabulary
from recbole.model import get_model
from recbole.utils import ModelType

torch.set_num_threads(1)
# No test depends on how many seconds an example takes, so that a busy machine does not matter.
settings.register_profile("fast", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# .ci/run draws the same examples each time: the verdict on a change does not depend on luck.
settings.register_profile("gate", settings.get_profile("fast"), derandomize=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

_CF_SETTINGS = {
    "use_gpu": False,
    "show_progress": False,
    "tensorboard": False,
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "eval_args": {"order": "TO"},
    "embedding_size": 4,
}


@pytest.fixture(scope="session")
def config():
    """A function: ``config(data_path, model="BPR", dataset="small", **settings)`` returns a `Config` for the CPU."""

    def make(data_path, model="BPR", dataset="small", **settings):
        return Config(model, dataset, config_dict=_CF_SETTINGS | {"data_path": str(data_path)} | settings)

    return make


@pytest.fixture(scope="session")
def write_inter():
    """A function: ``write_inter(data_path, rows, columns, dataset)`` writes an ``.inter`` file and returns its path."""

    def make(data_path, rows, columns="user_id:token item_id:token timestamp:float", dataset="small"):
        path = Path(data_path) / dataset / f"{dataset}.inter"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [columns.split(), *rows]
        path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines), encoding="utf-8")
        return path

    return make


def cf_rows():
    """Return shuffled rows (user, item, time): 24 users with 3 to 26 of 40 items each; some times are equal."""
    draw = np.random.default_rng(7)
    rows = [(f"u{u}", f"i{i}") for u in range(24) for i in draw.choice(40, 3 + u, replace=False)]
    return [(*rows[at], 1000 + draw.integers(200)) for at in draw.permutation(len(rows))]


@pytest.fixture
def small_cf(tmp_path, write_inter):
    """A ``data_path`` with the data set ``small``, new for each test."""
    write_inter(tmp_path / "dataset", cf_rows())
    return tmp_path / "dataset"


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory, config, write_inter):
    """The CF `Dataset` of ``small``, shared by all tests.

    Tests may only change copies of it: ``small_dataset.masked(mask)``.
    """
    folder = tmp_path_factory.mktemp("small")
    write_inter(folder, cf_rows())
    return create_dataset(config(folder), ModelType.GENERAL)


@pytest.fixture(scope="session")
def reference():
    """The folder of real data and of ERASE's checkpoints; tests that need it are skipped if it is missing."""
    folder = os.environ.get("ERASE_REFERENCE_DATA")
    if not folder:
        pytest.skip("ERASE_REFERENCE_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def sessions():
    """A function: ``sessions(sequences, model="GRU4Rec", **settings)`` returns a `SequentialDataset` in memory.

    ``sequences`` are lists of item ids from 1 to 39, one for each user from 1 on. ``timestamp`` is the row number.
    """
    settings = {"use_gpu": False, "show_progress": False, "MAX_ITEM_LIST_LENGTH": 5, "train_batch_size": 16}

    def make(sequences, model="GRU4Rec", **more):
        config = Config(model, "small", config_dict=settings | more)
        config.bind_model(get_model(model))
        sizes = [0, *map(len, sequences)]
        user, item = np.repeat(np.arange(len(sizes)), sizes), np.concatenate([np.asarray(s, int) for s in sequences])
        names = {"user": len(sequences), "item": 39}
        vocabulary = {side: Vocabulary(pa.array([f"{side}{i}" for i in range(1, n + 1)])) for side, n in names.items()}
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        log = InteractionLog("small", user, item, {"timestamp": np.arange(len(user))}, offsets, vocabulary)
        return SequentialDataset(config, replace(log, split=SequentialDataset.label(config, log)))

    return make
