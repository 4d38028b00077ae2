"""Whole pipeline runs on the small data, which can be killed."""

import json

import numpy as np
import torch

from recbole.data.split import TRAIN
from recbole.model.general_recommender.bpr import BPR
from recbole.trainer import ResumeFile
from recbole.unlearning.algorithms.scif import Scif
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.request import find_requests
from recbole.utils import init_seed
from recbole.utils.deadline import Deadline

NO_TRAIN, UNKNOWN, NO_ITEM = "u5", "stranger", "u6"
"""Users whose request has rows outside of training alone, and that are not in the data, or hold none of the items."""


class Killed(BaseException):
    """Raised in place of a kill."""


def pairs_of(dataset, n):
    """Return the pairs of ``n`` requests, three of them special; the others forget two training rows and a test row."""
    log, pairs = dataset.log, [(UNKNOWN, "i1"), (NO_ITEM, "no such item")]
    for user in [*[f"u{at}" for at in range(7, 4 + n)], NO_TRAIN]:
        rows = log.rows_of([dataset.token2id("user_id", user)])
        in_train = rows[log.split[rows] == TRAIN]
        chosen = rows[log.split[rows] > TRAIN] if user == NO_TRAIN else [*in_train[:2], rows[-1]]
        pairs += [(user, item) for item in dataset.id2token("item_id", log.item[np.asarray(chosen)])]
    return pairs


class Run:
    """One unlearning run on a model from the seed; ``saved`` has the results at each checkpoint."""

    def __init__(self, config, dataset, n=11, folder=None, identity="run", budget=None, model=BPR, **more):
        self.data = dataset.masked(np.zeros(len(dataset.log), dtype=bool))
        conf = config("unused", model.__name__, **more)
        init_seed(conf["seed"])
        self.model = model(conf, self.data)
        pairs = pairs_of(dataset, n)
        entities, items = zip(*pairs, strict=True)
        self.requests = find_requests(self.data, entities, items, sorted(set(entities)), "sha")
        resume = None if folder is None else ResumeFile(folder / "x.resume", identity)
        self.log_path = None if folder is None else folder / "log" / "x.requests.jsonl"
        size = conf["unlearning_batchsize"]
        self.algorithm = Scif(conf, self.model, self.data)
        until = Deadline(budget)
        self.pipeline = Pipeline(self.algorithm, self.requests, size, resume, self.log_path, until, False)
        self.saved = {}

    def run(self, die_after=None):
        """Run; with ``die_after`` the process dies when so many pieces are done."""
        forget, left = self.algorithm.forget, [die_after]

        def dies(*arguments):
            if left[0] == 0:
                raise Killed
            left[0] = None if left[0] is None else left[0] - 1
            return forget(*arguments)

        self.algorithm.forget = dies
        self.summary = self.pipeline.run(self.save)
        return self

    def save(self, checkpoint, n_done, summary):
        weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.saved[checkpoint] = n_done, weights, counts(summary), self.data.forgotten.copy()

    def records(self):
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]


def counts(summary):
    """Return the number of requests by outcome."""
    return {key: value for key, value in summary.items() if isinstance(value, int)}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def timeless(records):
    return [{k: v for k, v in record.items() if k not in ("seconds", "total_seconds")} for record in records]
