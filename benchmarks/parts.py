"""One part of what `scale.py` and `speed.py` measure, in this process: ``python parts.py '{"part": ..., ...}'``.

`measuring.py` starts it on the ``recbole`` of some tree. It prints a line of JSON: CPU and wall seconds of the part
alone (reading the data and making the model come before, off the clock, unless they are the part), the largest memory
meanwhile, and what else there is to tell. A part that uses more CPU seconds than its ``limit`` is ended by the system,
with SIGXCPU. Of ``recbole`` only what has to be called is used, so that the rest may differ between revisions.
"""

import contextlib
import io
import json
import math
import os
import sys
from collections import Counter
from pathlib import Path

from clocked import clocked, cpu_seconds
from machine_limits import parsing, product, reading

LONG = 20
"""CPU seconds: a first request that takes longer counts, since what is imported late is nothing beside it."""

ENOUGH = 60
"""CPU seconds of requests after which no further one is put."""

WARM = 3
"""Steps of training, off the clock, that import what is imported late."""


# --- what parts start from -------------------------------------------------------------------------------------------
def opened(spec):
    """Return the configuration and the data set."""
    from recbole.config import Config
    from recbole.data import create_dataset
    from recbole.model import get_model
    from recbole.unlearning.registry import hyper_parameters

    cls, defaults = get_model(spec["model"]), {one.name: one.default for one in hyper_parameters()}
    config = Config(
        spec["model"], spec["name"], spec["files"], {"data_path": spec["data"], **spec["settings"]},
        extra_defaults=defaults,
    )  # fmt: skip
    config.bind_model(cls)
    return config, create_dataset(config, cls.type)


def ready(spec):
    """Return configuration, data set and model, with the weights of ``spec["weights"]`` where that file is there."""
    import torch

    config, dataset = opened(spec)
    model = fresh(config, dataset, spec)
    path = spec.get("weights")
    if path and Path(path).exists():
        from recbole.trainer.checkpoint import load_weights

        load_weights(model, {"state_dict": torch.load(path, weights_only=True)}, path)
    return config, dataset, model


def fresh(config, dataset, spec):
    """Return an untrained model, from the seed."""
    from recbole.model import get_model
    from recbole.utils import init_seed

    init_seed(config["seed"], config["reproducibility"], config["device"])
    return get_model(spec["model"])(config, dataset).to(config["device"])


def trainer(config, model, dataset, epochs, **more):
    """Return a trainer of some epochs, which validates only where the specification says so."""
    import recbole.trainer

    config["epochs"] = epochs
    loop = getattr(recbole.trainer, "TrainingLoop", None) or recbole.trainer.Trainer  # its name in older revisions
    return loop(config, model, dataset, **more)


class Enough(BaseException):
    """Enough batches have been trained on."""


class Batches:
    """Stands before a model's ``calculate_loss`` and notes CPU seconds at each batch; ends training after some.

    Args:
        model: that is trained.
        most: how many batches are trained on; None for all.
        seconds: CPU seconds after which no further batch begins.
    """

    def __init__(self, model, most, seconds=math.inf):
        self.most, self.seconds, self.at = math.inf if most is None else most, seconds, []
        self.loss = type(model).calculate_loss.__get__(model)
        self.model = model
        model.calculate_loss = self

    def __call__(self, batch):
        self.at.append(cpu_seconds())
        if len(self.at) > self.most or (len(self.at) > 1 and self.at[-1] - self.at[0] > self.seconds):
            raise Enough
        return self.loss(batch)


def train(fit, batches):
    """Train by a trainer's ``fit`` until ``batches`` has had enough; return whether it had."""
    try:
        fit()
    except Enough:
        return True
    finally:
        del batches.model.calculate_loss
    return False


# --- parts -----------------------------------------------------------------------------------------------------------
def load(spec):
    """Read, number, sort and split a log."""
    import recbole.trainer  # noqa: F401  what a program imports is not what the data costs
    from recbole.model import get_model

    get_model(spec["model"])
    with clocked(spec["limit"]) as cost:
        _, dataset = opened(spec)
    return cost | {"rows": len(dataset.log), "people": int(dataset.n_users) - 1, "items": int(dataset.n_items) - 1}


def epoch(spec):
    """Train for an epoch, or for some steps of one, from which the epoch's seconds follow; or for several."""
    import torch

    from recbole.data import TrainBatches

    config, dataset, model = ready(spec | {"weights": None})
    config["eval_step"] = 0
    train(trainer(config, model, dataset, 1).fit, Batches(model, WARM))
    n_batches = len(TrainBatches(config, dataset, model.input_type))
    epochs = spec.get("epochs", 1)
    fit = trainer(config, model, dataset, epochs).fit  # which makes the questions of the validation
    with clocked(spec["limit"]) as cost:
        began, batches = cpu_seconds(), Batches(model, spec.get("steps"), 0.8 * spec["limit"])
        cut = train(fit, batches)
    steps, told = len(batches.at) - cut, {"cpu_of_steps": cost["cpu"]}
    if cut:
        before, step = batches.at[0] - began, (batches.at[-1] - batches.at[0]) / steps
        measured = cost["cpu"]
        cost["cpu"] = before + step * n_batches
        cost["wall"] *= cost["cpu"] / measured
    else:
        cost |= {"cpu": cost["cpu"] / epochs, "wall": cost["wall"] / epochs}
    if spec.get("weights"):
        Path(spec["weights"]).parent.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), spec["weights"])
    told |= {"steps": min(steps, n_batches), "batches": n_batches, "examples": len(dataset.train_examples())}
    return cost | told | {"items": int(dataset.n_items) - 1}


def base(spec):
    """Train the model that requests are put to, for ``epochs``, and save its weights."""
    return epoch(spec | {"steps": None})


def retraining(spec):
    """Train a model for all its epochs, validated after each, as a retraining is."""
    config, dataset, model = ready(spec | {"weights": None})
    config["stopping_step"] = spec["epochs"]
    train(trainer(config, model, dataset, 1).fit, Batches(model, WARM))
    with clocked(spec["limit"]) as cost:
        model = fresh(config, dataset, spec)
        progress = trainer(config, model, dataset, spec["epochs"]).fit()
    return cost | {"epochs": len(progress.epoch_seconds)}


def evaluation(spec):
    """Evaluate a model on the test rows of some people, drawn evenly."""
    import numpy as np

    from recbole.evaluator.utility import mean_utility

    config, dataset, model = ready(spec)
    rows = dataset.eval_rows("test")
    chosen = np.random.default_rng(2).permutation(len(rows.inputs))[: spec["people"]]
    rows = rows.take(np.sort(chosen))
    mean_utility(model, rows.take(np.arange(min(16, len(chosen)))), config)
    model.train().eval()  # drops what it keeps between batches
    with clocked(spec["limit"]) as cost:
        mean_utility(model, rows, config)
    return cost | {"people": len(chosen), "items": int(dataset.n_items) - 1}


def request(spec):
    """Put requests to an algorithm, one after the other; cost: the mean of ``requests``, or of a minute's.

    Each is a person with as many training rows as is usual, who wants two of them forgotten. One comes before, off the
    clock; if it is long it counts.
    """
    from recbole.unlearning.registry import get_algorithm
    from recbole.unlearning.request import Request
    from recbole.utils.deadline import Deadline

    config, dataset, model = ready(spec)
    model.eval()
    algorithm, costs, outcomes = get_algorithm(spec["algorithm"])(config, model, dataset), [], []
    for at, (person, rows) in enumerate(requesting(dataset, spec["requests"] + 1)):
        with clocked(spec["limit"]) as cost:
            outcome = algorithm.forget([Request(at, str(person), rows)], Deadline())
        if at or cost["cpu"] > LONG:
            costs.append(cost)
            outcomes.append(outcome)
        if len(costs) == spec["requests"] or sum(one["cpu"] for one in costs) > ENOUGH:
            break
    reasons = sorted({outcome.reason for outcome in outcomes if outcome.reason})
    mean = {key: sum(cost[key] for cost in costs) / len(costs) for key in ("cpu", "wall")}
    peaks = {key: max(cost[key] for cost in costs) for key in ("peak_mib", "before_mib")}
    return mean | peaks | {"outcomes": Counter(outcome.status for outcome in outcomes), "reasons": reasons}


def requesting(dataset, n):
    """Return ``n`` people, of the median number of training rows, and the first two training rows of each.

    People with fewer than three, so that nothing would be left, are not asked.
    """
    import numpy as np

    from recbole.data.split import TRAIN

    log = dataset.log
    counts = np.bincount(log.user[log.split == TRAIN], minlength=dataset.n_users)
    able = np.flatnonzero(counts >= 3)
    able = np.random.default_rng(2).permutation(able)
    near = able[np.argsort(np.abs(counts[able] - np.median(counts[able])), kind="stable")][:n]
    for person in near.tolist():
        rows = log.rows_of([person])
        yield person, rows[log.split[rows] == TRAIN][:2]


def rows(spec):
    """Make the questions of an evaluation."""
    _, dataset = opened(spec)
    with clocked(spec["limit"]) as cost:
        dataset.eval_rows("test")
    return cost


def views(spec):
    """Make the views of four checkpoints: 20 people have forgotten two rows each, five of them by the first."""
    import numpy as np

    from recbole.evaluator.views import build_views

    _, dataset = opened(spec)
    asked = [both for _, both in requesting(dataset, 20)]
    with clocked(spec["limit"]) as cost:
        for checkpoint in range(4):
            forgotten = np.zeros(len(dataset.log), dtype=bool)
            forgotten[np.concatenate(asked[: 5 * (checkpoint + 1)])] = True
            build_views(dataset, forgotten, checkpoint, 2)
    return cost


def graph(spec):
    """Build a graph model's graph again."""
    _, dataset, model = ready(spec)
    with clocked(spec["limit"]) as cost:
        model.rebuild(dataset)
    return cost


def snapshot(spec):
    """Write a snapshot of training; ``megabytes`` is its size on disk."""
    from recbole.trainer import ResumeFile

    config, dataset, model = ready(spec | {"weights": None})
    path = Path(spec["snapshot"])
    os.environ["ERASE_SNAPSHOT_SECONDS"] = "0"  # one after each batch; a second is not begun
    fit = trainer(config, model, dataset, 1, resume=ResumeFile(path, "measured")).fit
    with clocked(spec["limit"]) as cost:
        train(fit, Batches(model, 1))
    cost |= {"megabytes": path.stat().st_size / 1e6}
    path.unlink()
    return cost


def evaluating(spec):
    """Run `unlearn.py` in this process; cost: its phase ``evaluate``."""
    from recbole.quick_start.main import unlearn_main
    from recbole.utils.clock import Clock

    at, lap = {"began": cpu_seconds()}, Clock.lap

    def noted(clock, phase):
        at[phase], at["before " + phase] = cpu_seconds(), at.get("last", at["began"])
        at["last"] = at[phase]
        return lap(clock, phase)

    Clock.lap = noted
    with clocked(spec["limit"]) as cost, contextlib.redirect_stdout(io.StringIO()):
        status = unlearn_main(spec["words"])
    if status not in (0, 3):
        sys.exit(f"unlearn.py ended with {status}")
    return cost | {"cpu": at["evaluate"] - at["before evaluate"], "wall": None}


PARTS = {
    part.__name__: part
    for part in (load, epoch, base, retraining, evaluation, request, rows, views, graph, snapshot, evaluating, reading,
                 parsing, product)
}  # fmt: skip


def main():
    """Run a part and print what it cost."""
    import recbole

    source = Path(recbole.__file__).resolve().parents[1]
    if source != Path(os.environ["PYTHONPATH"]).resolve():
        sys.exit(f"parts.py: recbole is imported from {source}, not from {os.environ['PYTHONPATH']}")
    spec = json.loads(sys.argv[1])
    told = PARTS[spec["part"]](spec)
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
