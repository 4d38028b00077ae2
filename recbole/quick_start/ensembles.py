"""Steps of runs that train or unlearn an ensemble: one model per shard (part) of the training interactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

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

    from recbole.trainer.board import Board

NO_EPOCH = -1
"""The epoch number in an ensemble's checkpoint file, which stands for none: every shard's model has its own epoch."""


def train_ensemble(
    setup: Setup, state: State, board: Board | None
) -> tuple[LearnedEnsemble, dict[str, Any], Workspace]:
    """Train the models of all shards of an ensemble from scratch, then its aggregation, and save the ensemble.

    For a base ensemble, the training interactions are first divided into shards. An ensemble that is retrained without
    the forgotten interactions uses the shards of its base ensemble.

    Args:
        setup: settings and data of the run.
        state: what to train: whether it is a base or a retrained ensemble, which interactions are left out, and the
            file to save it in.
        board: TensorBoard's curves, or None.

    Returns:
        The trained ensemble; a dict with the entries ``coupled`` and ``ensemble`` for the JSON record of the run; and
        the files from which an interrupted training resumes, which the caller removes once everything is written.

    Raises:
        UserError: there is no usable base ensemble for a retraining, or a training diverged.
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
    """Read from the base ensemble's file how the training interactions are divided into shards (the partition).

    Returns:
        int16 [rows of the log], the shard of each interaction; and a description of the partition for JSON records.

    Raises:
        UserError: there is no base ensemble, or its file is no ensemble that was trained on these data.
    """
    path = setup.base().file
    if not path.exists():
        raise UserError(f"a retrained ensemble needs the partition of its base, but there is no {path}: train it first")
    content = Stored.read(path).content
    shard_of = (content.get("state_dict") or {}).get(SHARD_OF)
    about = (content.get("meta") or {}).get("partition")
    good = isinstance(shard_of, torch.Tensor) and shard_of.dtype == torch.int16
    if shard_of is None or about is None or not good or shard_of.shape != (len(setup.dataset.log),):
        raise UserError(f"{path} contains no partition of these data; train the base ensemble again")
    return shard_of.numpy(), about


def check_pairing(config: Config, algorithm: type[UnlearningAlgorithm]) -> None:
    """Check, before any data is read, that an unlearning algorithm supports the model: an ensemble or a single model.

    Args:
        config: the run's settings; ``ensemble`` is None for a single model.
        algorithm: the class of the unlearning algorithm.

    Raises:
        UserError: the algorithm is for single models and the run has an ensemble, or the other way round; or
            ``repartition`` is set, and the algorithm is for single models.
    """
    if config["ensemble"] and not algorithm.serves_ensembles:
        raise UserError(
            f"{algorithm.name} works on a single model trained on all data, but --ensemble {config['ensemble']} has "
            "one model per shard; use --unlearning_algorithm shards"
        )
    if algorithm.serves_ensembles and not config["ensemble"]:
        raise UserError(f"{algorithm.name} works only on ensembles: give --ensemble, here and when training the base")
    if config["repartition"] and not algorithm.serves_ensembles:
        raise UserError(
            f"--repartition applies only to ensembles; {algorithm.name} works on a single model trained on all data"
        )
