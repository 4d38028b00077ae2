"""Steps that only runs of an ensemble need: partitioning the training rows, and training one model per shard."""

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

    from torch.utils.tensorboard import SummaryWriter

NO_EPOCH = -1
"""Stored in place of the selected epoch in an ensemble's checkpoint, because each shard has its own."""


def train_ensemble(
    setup: Setup, state: State, board: SummaryWriter | None
) -> tuple[LearnedEnsemble, dict[str, Any], Workspace]:
    """Train all shards of an ensemble from scratch and save it.

    A base ensemble is partitioned first. A retrained ensemble uses the partition of its base.

    Args:
        setup: settings and data of the run.
        state: the model to train: its kind, mask and file.
        board: TensorBoard's writer, or None.

    Returns:
        The trained ensemble; a dict with the entries ``coupled`` and ``ensemble`` for its record; and its intermediate
        files, which the caller removes after everything else is written.

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
    """Read the base ensemble's partition: the shard of each log row (int16 [rows]), and its description for records.

    Raises:
        UserError: there is no base checkpoint, or it is not an ensemble trained on these data.
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
    """Check, before any data is read, that the algorithm and the model are both for ensembles or both for one model.

    Raises:
        UserError: they are not, or ``repartition`` is set without an ensemble.
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
