"""Fixtures with small ensembles of every task: data, settings and partitions."""

import numpy as np
import pytest
from small_worlds import weights

from recbole.config.ensembles import settle_ensemble
from recbole.ensemble.learning import learn_ensemble
from recbole.ensemble.model import Ensemble
from recbole.trainer.state import Done, Run, State
from recbole.unlearning.algorithms.shards import Shards
from recbole.unlearning.pipeline import Pipeline

N_SHARDS = 3
BY_USER = ("grapheraser", "ultrare")
QUICK = {
    **{"epochs": 3, "learning_rate": 0.02, "train_batch_size": 64, "aggregate_epochs": 2, "num_shards": N_SHARDS},
    **{"unlearning_algorithm": "shards", "pretrain_epochs": 2},
}


class Place:
    """The data and settings of a small world (see `small_worlds`) for an ensemble; its settings are a copy."""

    def __init__(self, world, ensemble="sisa", **settings):
        self.config = world.config.with_values(ensemble=ensemble, **QUICK | settings)
        settle_ensemble(self.config, self.config["MODEL_TYPE"])
        self.dataset, self.run = world.dataset, Run(self.config, Ensemble)

    @property
    def log(self):
        return self.dataset.log

    def state(self, rows=(), path=None):
        """Return the state in which some log rows are forgotten."""
        forgotten = np.zeros(len(self.log), dtype=bool)
        forgotten[np.asarray(rows, dtype=np.int64)] = True
        return State("base", self.dataset, forgotten, Done("sha", len(rows)) if len(rows) else None, path=path)

    def by_user(self):
        return (self.log.user % self.config["num_shards"]).astype(np.int16)

    def by_row(self):
        return (np.arange(len(self.log)) * 7 % self.config["num_shards"]).astype(np.int16)

    def learn(self, shard_of, rows=(), **more):
        """Return the ensemble of a partition, trained from scratch without some rows."""
        return learn_ensemble(self.run, self.state(rows), shard_of, **more).model


class Ensembled(Place):
    """A place whose base ensemble is trained once, with requests against it."""

    def __init__(self, world, ensemble="sisa", **settings):
        super().__init__(world, ensemble, **settings)
        self.requests = world.requests
        whole = self.dataset.task_type != "CF" or ensemble in BY_USER
        self.shard_of = self.by_user() if whole else self.by_row()
        self.base = self.learn(self.shard_of)

    def data(self):
        return self.state().data

    def start(self, name="shards", data=None, device=None, **hyper):
        """Return the algorithm on a fresh copy of the base."""
        config = self.config.with_values(**{"materialise": "lazy"} | hyper)
        data = self.data() if data is None else data
        model = type(self.base)(config, data)
        model.build(self.shard_of)
        model.load_state_dict(self.base.state_dict())
        return Shards(config, model.eval(), data)

    def unlearn(self, requests=None, size=1, resume=None, stem=None, dies_at=None, log_path=None, **hyper):
        """Return the state dictionaries at the checkpoints, and the pipeline's summary."""
        algorithm = self.start(**hyper)
        if stem is not None:
            algorithm.work_beside(stem)
        pipeline = Pipeline(algorithm, requests or self.requests, size, resume, log_path, show_progress=False)
        saved = {}

        def save(checkpoint, n_done, summary):
            if checkpoint == dies_at:
                raise KeyboardInterrupt
            saved[checkpoint] = weights(algorithm.model)

        return saved, pipeline.run(save), algorithm

    def twin(self, n_done, requests=None):
        requests = requests or self.requests
        mask = requests.mask(n_done, len(self.log))
        return weights(self.learn(self.shard_of, np.flatnonzero(mask)))


@pytest.fixture(scope="session")
def ensembles(worlds):
    """A function: ``ensembles(model, ensemble)`` returns an ensemble that is trained once, with a fixed partition."""
    made = {}

    def get(name, ensemble="sisa"):
        if (name, ensemble) not in made:
            made[name, ensemble] = Ensembled(worlds(name), ensemble)
        return made[name, ensemble]

    return get
