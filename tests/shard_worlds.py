"""Small ensembles of every task: data, settings, partitions of the tests' own."""

import numpy as np

from recbole.config.ensembles import settle_ensemble
from recbole.ensemble.learning import learn_ensemble
from recbole.ensemble.model import Ensemble
from recbole.trainer.state import Done, Run, State

N_SHARDS = 3
QUICK = {
    **{"epochs": 3, "learning_rate": 0.02, "train_batch_size": 64, "aggregate_epochs": 2, "num_shards": N_SHARDS},
    **{"unlearning_algorithm": "shards", "pretrain_epochs": 2},
}


class Place:
    """The data and settings of one of the small worlds, for an ensemble; settings are the place's own."""

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
