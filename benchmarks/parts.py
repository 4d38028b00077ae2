"""Measure one part, such as an epoch or a request, for `scale.py` and `speed.py`.

Usage: ``python parts.py '{"part": ..., ...}'``. The argument is the *specification* of the part, a JSON object:
``part`` is a name in PARTS, and the functions below read the other keys. `measuring.py` starts this script with
``PYTHONPATH`` set to the revision to measure. The script prints one line of JSON: CPU and wall seconds of the part, its
peak memory in MiB, and further results. Reading the data and creating the model are not timed, unless they are the
part. The system ends a part that uses more CPU seconds than its ``limit`` with SIGXCPU. The script calls as little of
``recbole`` as possible, so that it works with older revisions.
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
"""CPU seconds. A warm-up request that takes longer is counted, since the time of late imports is negligible in it."""

ENOUGH = 60
"""CPU seconds of requests after which no further request starts."""

WARM = 3
"""Training steps before the timed ones, so that late imports are not timed."""


# --- configuration, data and model -----------------------------------------------------------------------------------
def opened(spec):
    """Return the configuration and the data set of a specification."""
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
    """Return configuration, data set and model; the weights are loaded from ``spec["weights"]`` if that file exists."""
    import torch

    config, dataset = opened(spec)
    model = fresh(config, dataset, spec)
    path = spec.get("weights")
    if path and Path(path).exists():
        from recbole.trainer.checkpoint import load_weights

        load_weights(model, {"state_dict": torch.load(path, weights_only=True)}, path)
    return config, dataset, model


def fresh(config, dataset, spec):
    """Return an untrained model, initialised from the configured seed."""
    from recbole.model import get_model
    from recbole.utils import init_seed

    init_seed(config["seed"], config["reproducibility"], config["device"])
    return get_model(spec["model"])(config, dataset).to(config["device"])


def trainer(config, model, dataset, epochs, **more):
    """Return a trainer for some epochs; ``config["eval_step"]`` decides whether it validates."""
    import recbole.trainer

    config["epochs"] = epochs
    loop = getattr(recbole.trainer, "TrainingLoop", None) or recbole.trainer.Trainer  # its name in older revisions
    return loop(config, model, dataset, **more)


class Enough(BaseException):
    """Raised by :class:`Batches` to end training after enough batches."""


class Batches:
    """Wraps a model's ``calculate_loss`` to record the CPU time at each batch, and to end training early.

    Args:
        model: model to train; its ``calculate_loss`` is replaced by this object.
        most: number of batches after which training ends; None: no limit.
        seconds: CPU seconds after which no further batch starts.

    Attributes:
        at: CPU seconds of the process at the start of each batch.
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
    """Call a trainer's ``fit``; return whether `batches` ended the training early."""
    try:
        fit()
    except Enough:
        return True
    finally:
        del batches.model.calculate_loss
    return False


# --- parts -----------------------------------------------------------------------------------------------------------
def load(spec):
    """Measure reading a log, mapping tokens to ids, sorting and splitting."""
    import recbole.trainer  # noqa: F401  imported before the clock starts
    from recbole.model import get_model

    get_model(spec["model"])
    with clocked(spec["limit"]) as cost:
        _, dataset = opened(spec)
    return cost | {"rows": len(dataset.log), "people": int(dataset.n_users) - 1, "items": int(dataset.n_items) - 1}


def epoch(spec):
    """Measure one training epoch: the mean of ``epochs`` epochs, or extrapolated from the first ``steps`` batches.

    The weights are saved to ``spec["weights"]`` if that key is given.
    """
    import torch

    from recbole.data import TrainBatches

    config, dataset, model = ready(spec | {"weights": None})
    config["eval_step"] = 0
    train(trainer(config, model, dataset, 1).fit, Batches(model, WARM))
    n_batches = len(TrainBatches(config, dataset, model.input_type))
    epochs = spec.get("epochs", 1)
    fit = trainer(config, model, dataset, epochs).fit  # the trainer creates the validation rows here, before the clock
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
    """Train the model that the requests start from for ``epochs`` epochs, and save its weights."""
    return epoch(spec | {"steps": None})


def retraining(spec):
    """Measure a full retraining: ``epochs`` epochs, with validation after each."""
    config, dataset, model = ready(spec | {"weights": None})
    config["stopping_step"] = spec["epochs"]
    train(trainer(config, model, dataset, 1).fit, Batches(model, WARM))
    with clocked(spec["limit"]) as cost:
        model = fresh(config, dataset, spec)
        progress = trainer(config, model, dataset, spec["epochs"]).fit()
    return cost | {"epochs": len(progress.epoch_seconds)}


def evaluation(spec):
    """Measure the evaluation on ``people`` test rows, sampled uniformly."""
    import numpy as np

    from recbole.evaluator.utility import mean_utility

    config, dataset, model = ready(spec)
    rows = dataset.eval_rows("test")
    chosen = np.random.default_rng(2).permutation(len(rows.inputs))[: spec["people"]]
    rows = rows.take(np.sort(chosen))
    mean_utility(model, rows.take(np.arange(min(16, len(chosen)))), config)
    model.train().eval()  # discards cached representations
    with clocked(spec["limit"]) as cost:
        mean_utility(model, rows, config)
    return cost | {"people": len(chosen), "items": int(dataset.n_items) - 1}


def request(spec):
    """Measure unlearning requests one after another; the cost is the mean over ``requests`` of them.

    Each request is for two training rows of a user with a typical number of rows. No further request starts once they
    have taken ENOUGH CPU seconds. One more request comes first as a warm-up; it is counted only if it takes longer than
    LONG CPU seconds.
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
    """Yield ``n`` pairs of a user id and the positions of this user's first two training rows in the log.

    The users are those whose number of training rows is closest to the median. Users with fewer than three training
    rows are left out, so that at least one row remains.
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
    """Measure the creation of the test rows that an evaluation scores."""
    _, dataset = opened(spec)
    with clocked(spec["limit"]) as cost:
        dataset.eval_rows("test")
    return cost


def views(spec):
    """Measure building the evaluation views of four checkpoints.

    A view is the evaluation data of a checkpoint: histories and targets without the rows forgotten by then. Of 20 users
    with two forgotten rows each, five more have been processed at each checkpoint.
    """
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
    """Measure rebuilding the interaction graph of a graph model."""
    _, dataset, model = ready(spec)
    with clocked(spec["limit"]) as cost:
        model.rebuild(dataset)
    return cost


def snapshot(spec):
    """Measure writing a training snapshot, from which a killed training resumes; ``megabytes`` is its size on disk."""
    from recbole.trainer import ResumeFile

    config, dataset, model = ready(spec | {"weights": None})
    path = Path(spec["snapshot"])
    os.environ["ERASE_SNAPSHOT_SECONDS"] = "0"  # a snapshot after each batch; training ends before the second batch
    fit = trainer(config, model, dataset, 1, resume=ResumeFile(path, "measured")).fit
    with clocked(spec["limit"]) as cost:
        train(fit, Batches(model, 1))
    cost |= {"megabytes": path.stat().st_size / 1e6}
    path.unlink()
    return cost


def evaluating(spec):
    """Run `unlearn.py` in this process; the CPU seconds are those of its phase ``evaluate``."""
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
        sys.exit(f"parts.py: unlearn.py failed with exit status {status}")
    return cost | {"cpu": at["evaluate"] - at["before evaluate"], "wall": None}


PARTS = {
    part.__name__: part
    for part in (load, epoch, base, retraining, evaluation, request, rows, views, graph, snapshot, evaluating, reading,
                 parsing, product)
}  # fmt: skip


def main():
    """Run the part in the command line's specification, and print its cost as JSON."""
    import recbole

    source = Path(recbole.__file__).resolve().parents[1]
    if source != Path(os.environ["PYTHONPATH"]).resolve():
        sys.exit(f"parts.py: recbole is imported from {source}, not from {os.environ['PYTHONPATH']}")
    spec = json.loads(sys.argv[1])
    told = PARTS[spec["part"]](spec)
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
