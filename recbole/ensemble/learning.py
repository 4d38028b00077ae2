"""Trains an ensemble: first the model of each shard, then the aggregation that combines the models' scores."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from recbole.ensemble.aggregate import get_aggregator
from recbole.ensemble.model import Ensemble
from recbole.ensemble.training import PartRun, Shards, Trained, Workspace, train_all
from recbole.model import get_model
from recbole.trainer.board import Board
from recbole.trainer.learn import Learned, learn
from recbole.trainer.progress import Progress
from recbole.trainer.state import Run, State
from recbole.utils import init_seed
from recbole.utils.device import now
from recbole.utils.seeds import torch_seed

logger = logging.getLogger("recbole")

Weights = Mapping[str, torch.Tensor]
"""A model's ``state_dict``: name of a parameter or buffer to its tensor."""


@dataclass(frozen=True)
class Costs:
    """The cost of training an ensemble.

    A shard that was not trained, because :func:`learn_ensemble` was given its weights, has no entry.

    Attributes:
        shards, shards_cpu: shard number to wall and CPU seconds of the training of the shard's model.
        examples, epochs: shard number to the number of training examples and epochs.
        aggregate, aggregate_cpu: wall and CPU seconds of training the aggregation, which combines the models' scores.
    """

    shards: dict[int, float] = field(default_factory=dict)
    shards_cpu: dict[int, float] = field(default_factory=dict)
    examples: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    aggregate: float = 0.0
    aggregate_cpu: float = 0.0

    def described(self) -> dict[str, Any]:
        """Return the costs as entries of the run's record (JSON values), with shard numbers as strings."""
        named = {"shard_seconds": self.shards, "shard_cpu_seconds": self.shards_cpu}
        named |= {"shard_examples": self.examples, "shard_epochs": self.epochs}  # type: ignore[dict-item]
        by_shard = {name: {str(k): value for k, value in of.items()} for name, of in named.items()}
        return by_shard | {"aggregate_seconds": self.aggregate, "aggregate_cpu_seconds": self.aggregate_cpu}


@dataclass(frozen=True)
class LearnedEnsemble(Learned):
    """A trained ensemble: the fields of :class:`~recbole.trainer.learn.Learned`, and the costs.

    Attributes:
        costs: the cost of training the shards' models and the aggregation.
    """

    costs: Costs = field(default_factory=Costs)

    @property
    def timing(self) -> dict[str, Any]:
        """Timing entries of the run's record. Epochs and validation results are those of the aggregation alone."""
        costs = self.costs
        return super().timing | {
            "fit_seconds": sum(costs.shards.values()) + costs.aggregate,
            "fit_cpu_seconds": sum(costs.shards_cpu.values()) + costs.aggregate_cpu,
        }


def learn_ensemble(
    run: Run,
    state: State,
    shard_of: np.ndarray,
    workspace: Workspace | None = None,
    known: Mapping[int, Weights] | None = None,
    board: Board | None = None,
) -> LearnedEnsemble:
    """Train an ensemble on the retained rows of a log, and return it. The ensemble itself is not saved to a file.

    A shard's model depends only on the shard's rows, the mask of forgotten rows, the shard's seed and the settings. The
    aggregation depends on these models, the settings and all retained rows. The result therefore does not depend on
    which shards were trained before, or in which order.

    Args:
        run: the settings, and the ensemble's class.
        state: the data to train on, with the mask of forgotten rows.
        shard_of: int16 [rows], the shard of each log row.
        workspace: the files in which finished shards and snapshots of unfinished training are saved, so that the same
            call can continue after an interruption; None saves nothing.
        known: shard number to weights, for shards that are already trained on the retained rows; None for none.
        board: TensorBoard's curves of the training of the aggregation; None writes nothing.

    Raises:
        UserError: a training diverged, or a file cannot be written.
    """
    config, known, workspace = run.config, known or {}, workspace or Workspace()
    shards = Shards(Run(config, get_model(config["model"])), state, shard_of)
    weights, costs = dict(known), Costs()
    for shard, trained in train_all(
        shards, set(range(config["num_shards"])) - set(known), workspace, config["shard_workers"]
    ):
        weights[shard] = trained.weights
        _note(costs, shard, trained)
    wall, cpu = now(config["device"]), time.process_time()
    learned = _aggregate(run, state, shard_of, weights, workspace, board)
    costs = replace(costs, aggregate=now(config["device"]) - wall, aggregate_cpu=time.process_time() - cpu)
    return LearnedEnsemble(learned.model, learned.progress, learned.building, costs=costs)


def _note(costs: Costs, shard: int, trained: Trained) -> None:
    """Enter the cost of training a shard's model in ``costs``, in place."""
    costs.shards[shard], costs.shards_cpu[shard] = trained.seconds, trained.cpu_seconds
    costs.examples[shard], costs.epochs[shard] = trained.examples, trained.epochs


def _aggregate(
    run: Run,
    state: State,
    shard_of: np.ndarray,
    weights: Mapping[int, Weights],
    workspace: Workspace,
    board: Board | None,
) -> Learned:
    """Build the ensemble from the weights of its shards, and train its aggregation if the aggregation has parameters.

    Args:
        run: the settings, and the ensemble's class.
        state: the data to train on, with the mask of forgotten rows.
        shard_of: int16 [rows], the shard of each log row.
        weights: shard number to the weights of the shard's trained model.
        workspace: the files in which a snapshot of the training is saved.
        board: TensorBoard's curves; None writes nothing.
    """
    config, kind = run.config, get_aggregator(run.config["aggregate"])
    own = {"seed": torch_seed(config["seed"], "aggregate"), "epochs": config["aggregate_epochs"], "weight_decay": 0.0}
    if kind.input_type is not None:
        negatives = {"distribution": "uniform", "sample_num": 1, "alpha": 1.0}
        own["train_neg_sample_args"] = config["train_neg_sample_args"] or negatives

    part = PartRun(config.with_values(**own), run.model_class, {"of": _digests(weights)})
    unsaved = replace(state, path=None)
    init_seed(part.config["seed"], config["reproducibility"], config["device"])
    model = Ensemble(config, state.data)
    model.build(shard_of)
    for shard, module in enumerate(model.shards):
        module.load_state_dict(weights[shard])
    model.input_type = kind.input_type or model.input_type
    model.to(config["device"])
    if not model.aggregate.trained:
        return Learned(model.eval(), Progress(), (0.0, 0.0))
    resume = workspace.resume("aggregate", part.identity(unsaved))
    learned = learn(part, unsaved, resume=resume, board=board, build=lambda _run, _state: model)
    if resume is not None:
        resume.remove()
    return learned


def _digests(weights: Mapping[int, Weights]) -> list[str]:
    """Return the SHA-256 of each shard's weights, 64 hexadecimal digits, in the order of the shard numbers."""
    found = []
    for shard in sorted(weights):
        digest = hashlib.sha256()
        for name, tensor in sorted(weights[shard].items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        found.append(digest.hexdigest())
    return found
