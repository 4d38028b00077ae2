"""What a run of an ensemble does beside what runs of single models do: it partitions, and trains part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recbole.config import Config
from recbole.ensemble.learning import LearnedEnsemble, learn_ensemble
from recbole.ensemble.model import SHARD_OF, Ensemble
from recbole.ensemble.partitioning import make_partition
from recbole.ensemble.training import Workspace
from recbole.quick_start.setup import Setup
from recbole.trainer.coupled import coupled
from recbole.trainer.learn import save_weights
from recbole.trainer.state import State
from recbole.trainer.stored import Stored
from recbole.unlearning.algorithm import UnlearningAlgorithm
from recbole.utils import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.utils.tensorboard import SummaryWriter

NO_EPOCH = -1
"""What a checkpoint says of its epoch, where it is of no single training."""


def train_ensemble(
    setup: Setup, state: State, board: SummaryWriter | None
) -> tuple[LearnedEnsemble, dict[str, Any], Workspace]:
    """Partition (a base), or take the base's partition (a retraining), train all shards from scratch, and save.

    Returns:
        The model; what a record tells of it beside its result; and the files of unfinished work, to be removed when
        all that depends on the model is written.

    Raises:
        UserError: a retraining has no base to take the partition from; a training diverged.
    """
    workspace = Workspace(state.file.with_suffix(""))
    if state.kind == "base":
        partitioned = make_partition(setup, state, workspace)
        shard_of, about, cost = partitioned.shard_of, partitioned.about, partitioned.cost
    else:
        (shard_of, about), cost = _of_base(setup), {}
    learned = learn_ensemble(setup, state, shard_of, workspace, board=board)
    model = learned.model
    assert isinstance(model, Ensemble)
    save_weights(state, NO_EPOCH, setup, model.state_dict(), {"partition": dict(about)})
    told = {"coupled": coupled(setup.config, model), "ensemble": dict(about) | cost | learned.costs.described()}
    return learned, told, workspace


def _of_base(setup: Setup) -> tuple[np.ndarray, Mapping[str, Any]]:
    """Return the partition of the base ensemble, and what is told of it.

    Raises:
        UserError: there is no base, or none that is an ensemble of these data.
    """
    path = setup.base().file
    if not path.exists():
        raise UserError(f"a retrained ensemble has the partition of its base, and there is no {path}: train it first")
    content = Stored.read(path).content
    shard_of = content["state_dict"].get(SHARD_OF)
    if shard_of is None or len(shard_of) != len(setup.dataset.log):
        raise UserError(f"{path} holds no partition of these data; train the base ensemble anew")
    return shard_of.numpy(), content["meta"]["partition"]


def check_pairing(config: Config, algorithm: type[UnlearningAlgorithm]) -> None:
    """Refuse, before anything is read, an algorithm for single models on an ensemble, and the other way round.

    Raises:
        UserError: in one line.
    """
    if config["ensemble"] and not algorithm.serves_ensembles:
        raise UserError(
            f"{algorithm.name} changes one model of all data, and --ensemble {config['ensemble']} is several: "
            "--unlearning_algorithm shards deletes from it"
        )
    if algorithm.serves_ensembles and not config["ensemble"]:
        raise UserError(
            f"{algorithm.name} deletes from an ensemble: give --ensemble, here and where the base is trained"
        )
    if config["repartition"] and not algorithm.serves_ensembles:
        raise UserError(f"--repartition is of ensembles, and {algorithm.name} changes one model of all data")
