"""Measure all steps of an ensemble on a log of a given size, for `partitions.py --whole`.

The steps are: load the log, divide it into shards, train one shard, and handle one unlearning request.
"""

import numpy as np
from clocked import clocked
from parts import opened
from scale import settings_of, spec_of
from synthetic import Shape, furnish

from recbole.config.ensembles import settle_ensemble
from recbole.data.split import TRAIN
from recbole.ensemble import training
from recbole.ensemble.model import Ensemble
from recbole.ensemble.partitioning import make_partition
from recbole.model import get_model
from recbole.trainer.state import Run, State
from recbole.unlearning.algorithms.shards import Shards
from recbole.unlearning.request import Request
from recbole.utils.deadline import Deadline

MODEL, ROWS_PER_USER, ITEMS = "BPR", 80, 6
"""The model; interactions per user of the log; ITEMS times the square root of the rows is the number of items."""

MOST_MIB = 8 * 1024
"""Limit of the peak memory in MiB."""

SHORT = {"epochs": 1, "pretrain_epochs": 1, "aggregate_epochs": 1, "eval_step": 0}
"""Settings that train everything for one epoch: time is proportional to epochs, and memory does not grow with them."""


def whole_way(folder, rows, ensemble, shards, iterations, limit):
    """Yield the cost of each step: its name, CPU and wall seconds, and the peak memory of the process in MiB.

    The log is generated unless its file exists, and loaded. It is divided into shards; if the partition needs vectors,
    they are trained for one epoch. The model of one shard is trained for one epoch. One request for two training rows
    of this shard is then handled by an ensemble whose other shards are untrained: the shard is retrained, and then the
    aggregation is trained.

    Args:
        folder: folder in which generated logs are kept.
        rows: interactions in the log, including validation and test.
        ensemble: name of the ensemble preset.
        shards: number of shards.
        iterations: maximum number of iterations of the partition.
        limit: limit of a step in CPU seconds.
    """
    shape = Shape("CF", rows, round(ITEMS * rows**0.5), rows // ROWS_PER_USER)
    furnish(folder, shape)
    more = {"ensemble": ensemble, "num_shards": shards, "partition_iterations": iterations}
    spec = spec_of(folder, shape, MODEL, settings=settings_of("CF") | SHORT | more)
    nothing = training.Workspace()

    def step(name, does):
        with clocked(limit) as cost:
            made = does()
        return made, {"step": name, **cost}

    (config, dataset), cost = step("load", lambda: opened(spec))
    yield cost | {"rows": len(dataset.log), "users": dataset.n_users - 1, "items": dataset.n_items - 1}
    settle_ensemble(config, get_model(MODEL).type)
    state = State("base", dataset, np.zeros(len(dataset.log), dtype=bool))
    run = Run(config, Ensemble)
    found, cost = step("partition", lambda: make_partition(run, state, nothing))
    yield cost | dict(found.about)
    of_shards = training.Shards(Run(config, get_model(MODEL)), state, found.shard_of)
    trained, cost = step("one shard", lambda: of_shards.train(0, nothing))
    yield cost | {"examples": trained.examples}
    model = Ensemble(config, state.data)
    model.build(found.shard_of)
    model.shards[0].load_state_dict(trained.weights)
    algorithm = Shards(config, model.eval(), model.dataset)
    asked = np.flatnonzero((found.shard_of == 0) & (dataset.log.split == TRAIN))[:2]

    def answered():
        outcome = algorithm.forget([Request(0, "somebody", asked)], Deadline())
        algorithm.complete()
        return outcome

    outcome, cost = step("one request", answered)
    yield cost | {"outcome": outcome.status, **algorithm.costs()}
