"""Computes the partition of an ensemble: the assignment of all interactions (rows of the log) to shards.

The partition is computed once, before the base model is trained, and stored in the model's checkpoint. With
``--repartition`` it is computed again, on the retained rows, at each checkpoint of the unlearning run.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from recbole.config import Config
from recbole.config.layers import packaged
from recbole.data import Dataset
from recbole.data.split import TRAIN
from recbole.ensemble.aggregate import get_aggregator
from recbole.ensemble.partition.base import Partition, PartitionInput
from recbole.ensemble.partition.registry import get_partition
from recbole.ensemble.training import PartRun, Workspace
from recbole.model import get_model
from recbole.model.abstract_recommender import AbstractRecommender, GeneralRecommender
from recbole.trainer.learn import learn
from recbole.trainer.state import Run, State
from recbole.utils import InputType, ModelType, UserError
from recbole.utils.device import now
from recbole.utils.distributed import world_size
from recbole.utils.seeds import torch_seed

logger = logging.getLogger("recbole")


@dataclass(frozen=True)
class Partitioned:
    """A partition of a log's rows.

    Attributes:
        shard_of: int16 [rows], the shard of each log row, in all splits.
        about: entries of the run's record: ``partition`` (its name), ``exact_level`` (E2 if no row's shard depends on
            other rows, else E1), ``shard_rows`` (number of retained rows per shard) and, if the partition uses
            embeddings, ``pretrained_sha256`` (the embeddings' SHA-256).
        seconds, cpu_seconds: wall and CPU seconds that computing it took, including the training of embeddings.
    """

    shard_of: np.ndarray = field(repr=False)
    about: Mapping[str, Any]
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def cost(self) -> dict[str, float]:
        """Wall and CPU seconds of computing the partition, as entries of the run's record."""
        return {"partition_seconds": self.seconds, "partition_cpu_seconds": self.cpu_seconds}


def check_ensemble(config: Config, model_class: type[AbstractRecommender], dataset: Dataset) -> None:
    """Check, before any training, that the model and the data fit the chosen partition and aggregation.

    Args:
        config: the settings, of which ``partition``, ``aggregate`` and ``num_shards`` are checked.
        model_class: the class of the shards' models.
        dataset: the run's data.

    Raises:
        UserError: they do not fit; the message says why and what to choose instead.
    """
    if world_size() > 1:
        raise UserError("--ensemble does not work with --nproc; use --shard_workers for several processes")
    if model_class.type is ModelType.TRADITIONAL:
        raise UserError(
            f"--ensemble trains a model per shard by gradient descent, which {model_class.__name__} does not use; "
            "--unlearning_algorithm exact deletes rows from it exactly, without --ensemble"
        )
    partition, aggregator = get_partition(config["partition"]), get_aggregator(config["aggregate"])
    if dataset.task_type != "CF" and partition.by != "user":
        raise UserError(
            f"--partition {partition.name} spreads a user's rows over shards, but {model_class.__name__} learns from "
            "whole sequences; use --partition hash, which keeps a user's rows together"
        )
    if dataset.task_type != "CF" and partition.needs_vectors:
        raise UserError(
            f"--partition {partition.name} needs user and item embeddings, but {model_class.__name__} has no user "
            "embeddings; use --partition hash, which needs none"
        )
    if aggregator.of_users and partition.by != "user":
        raise UserError(
            f"--aggregate {aggregator.name} relies on the model of each user's own shard, but --partition "
            f"{partition.name} spreads a user's rows over shards; use --partition ot, ubp or bekm"
        )
    objects = {"user": dataset.n_users - 1, "item": dataset.n_items - 1}.get(partition.by, dataset.inter_num)
    if config["num_shards"] > objects:
        raise UserError(f"--num_shards {config['num_shards']}: there are only {objects} {partition.by}s to divide")
    aggregator.refuse(model_class(config, dataset))


def make_partition(run: Run, state: State, workspace: Workspace) -> Partitioned:
    """Compute the partition for some retained rows, or read it from the workspace if it was saved there.

    A forgotten row gets the shard ``row index % num_shards``, so that the partition depends only on retained rows.

    Args:
        run: the ensemble's settings.
        state: the data, with the mask of forgotten rows. Nothing is forgotten yet when the base model is trained.
        workspace: the files in which the partition is saved until the ensemble is trained.

    Returns:
        The partition of all log rows, including those held out for validation and test.

    Raises:
        UserError: there are more shards than rows, users or items to divide.
    """
    digest, kept = run.identity(state).digest, "partition"
    if stored := workspace.known(kept, digest):
        return Partitioned(stored["shard_of"].cpu().numpy(), stored["about"], **stored["cost"])
    wall, cpu = now(run.config["device"]), time.process_time()
    config, log = run.config, state.dataset.log
    partition = get_partition(config["partition"])()
    vectors, about = None, {"partition": partition.name, "exact_level": partition.exact_level}
    if partition.needs_vectors:
        vectors = _pretrained(run, state, workspace)
        about["pretrained_sha256"] = hashlib.sha256(b"".join(v.tobytes() for v in vectors)).hexdigest()
    whole = partition.exact_level == "E2"  # a hash of tokens, so users without training rows can have a shard too
    rows = np.flatnonzero(~state.forgotten if whole else (log.split == TRAIN) & ~state.forgotten)
    given = _given(run, state.dataset, rows, vectors)
    shard_of = _of_all_rows(state.dataset, partition, rows, partition.assign(given), config["num_shards"])
    shard_of[state.forgotten] = np.flatnonzero(state.forgotten) % config["num_shards"]
    sizes = np.bincount(shard_of[~state.forgotten], minlength=config["num_shards"])
    logger.info("partition %s: rows per shard: %s", partition.name, ", ".join(map(str, sizes)))
    cost = {"seconds": now(config["device"]) - wall, "cpu_seconds": time.process_time() - cpu}
    found = Partitioned(shard_of, about | {"shard_rows": sizes.tolist()}, **cost)
    workspace.keep(kept, digest, shard_of=torch.from_numpy(shard_of), about=dict(found.about), cost=cost)
    return found


def agreement(one: np.ndarray, other: np.ndarray, n_shards: int) -> float:
    """Return the adjusted Rand index of two partitions of the same rows, whatever numbers their shards have.

    L. Hubert, P. Arabie, "Comparing partitions", Journal of Classification 1985 (equation numbers not checked).

    Args:
        one, other: int16 [rows], the shard of each row.
        n_shards: the number of shards in both.

    Returns:
        1 if the partitions divide the rows in the same way; 0 is the expected value for independent partitions.
    """
    both = np.bincount(one.astype(np.int64) * n_shards + other, minlength=n_shards**2).reshape(n_shards, n_shards)
    together, ones, others, every = (
        float((n.astype(np.float64) * (n - 1.0)).sum() / 2)
        for n in (both, both.sum(axis=1), both.sum(axis=0), both.sum())
    )
    by_chance, most = ones * others / max(every, 1.0), (ones + others) / 2
    return 1.0 if most == by_chance else (together - by_chance) / (most - by_chance)


def _given(
    run: Run, dataset: Dataset, rows: np.ndarray, vectors: tuple[np.ndarray, np.ndarray] | None
) -> PartitionInput:
    """Return the input from which a partition is computed.

    Args:
        run: the settings.
        dataset: the data.
        rows: int, indices of the log rows to divide.
        vectors: user and item embeddings; None if the partition needs none.
    """
    config, log = run.config, dataset.log
    users, items = (None, None) if vectors is None else vectors
    return PartitionInput(
        users=log.user[rows].astype(np.int32),
        items=log.item[rows].astype(np.int32),
        n_users=dataset.n_users,
        n_items=dataset.n_items,
        user_tokens=log.vocabulary["user"].token_array.to_pylist(),
        item_tokens=log.vocabulary["item"].token_array.to_pylist(),
        user_vectors=users,
        item_vectors=items,
        n_shards=config["num_shards"],
        capacity_factor=config["capacity_factor"],
        iterations=config["partition_iterations"],
        seed=config["seed"],
        anchor_update=config["anchor_update"],
    )


def _of_all_rows(
    dataset: Dataset, partition: Partition, rows: np.ndarray, assigned: np.ndarray, n_shards: int
) -> np.ndarray:
    """Extend a partition of some log rows to all rows; return the shard of every log row, int16 [rows].

    Each other row goes to the shard that has most of its user's assigned rows; in a tie, to the shard with the lowest
    number. If the user has no assigned row, it goes to shard ``user id % n_shards``. If the partition divides items,
    the row's item takes the place of its user.

    Args:
        dataset: the data.
        partition: the partition, whose ``by`` says what it divides.
        rows: int [n], indices of the log rows that have a shard.
        assigned: int16 [n], their shards.
        n_shards: the number of shards.
    """
    log = dataset.log
    owner = log.item if partition.by == "item" else log.user
    n_owners = dataset.n_items if partition.by == "item" else dataset.n_users
    counts = np.bincount(owner[rows] * n_shards + assigned, minlength=n_owners * n_shards).reshape(n_owners, n_shards)
    usual = np.where(counts.any(axis=1), counts.argmax(axis=1), np.arange(n_owners) % n_shards)
    shard_of = usual[owner].astype(np.int16)
    shard_of[rows] = assigned
    return shard_of


def _pretrained(run: Run, state: State, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
    """Train a WMF model on the retained rows, and return its user and item embeddings, by which rows are divided.

    Returns:
        Float32 [n_users, d] and [n_items, d].
    """
    config, model_class = run.config, get_model("WMF")
    own = packaged("model/WMF.yaml").values | {
        "model": "WMF", "MODEL_INPUT_TYPE": InputType.POINTWISE, "ensemble": None, "weight_decay": 0.0,
        "seed": torch_seed(config["seed"], "pretrain"), "epochs": config["pretrain_epochs"], "eval_step": 0,
        "max_training_hours": None, "clip_grad_norm": None,
    }  # fmt: skip
    pretrained = State("pretrained", state.dataset, state.forgotten, n_planted=state.n_planted)
    part = PartRun(config.with_values(**own), model_class, {})
    model = learn(part, pretrained, resume=workspace.resume("pretrain", part.identity(pretrained))).model
    if not isinstance(model, GeneralRecommender) or (vectors := model.vectors()) is None:
        raise TypeError(f"{type(model).__name__} has no embeddings to partition by")
    users, items = (table.detach().cpu().numpy().astype(np.float32) for table in vectors)
    return users, items
