"""The partition of an ensemble: made once, on the full log, and kept in its checkpoint; or anew, of what is left."""

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
    """A partition of the rows of a log.

    Attributes:
        shard_of: int16 [rows], the shard of each row of the log, whatever its split.
        about: what a record tells of it: the ``partition``, its ``exact_level``, the ``shard_rows`` by shard, and of a
            partition that looks at vectors the SHA-256 of these, ``pretrained_sha256``.
        seconds, cpu_seconds: that it took, the pretraining of vectors included.
    """

    shard_of: np.ndarray = field(repr=False)
    about: Mapping[str, Any]
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def cost(self) -> dict[str, float]:
        """What it took, as records hold it."""
        return {"partition_seconds": self.seconds, "partition_cpu_seconds": self.cpu_seconds}


def check_ensemble(config: Config, model_class: type[AbstractRecommender], dataset: Dataset) -> None:
    """Refuse, before anything is trained, what an ensemble's choices ask of a model that does not have it.

    Args:
        config: reads ``partition``, ``aggregate``, ``num_shards``.
        model_class: of the shards' models.
        dataset: the run's data.

    Raises:
        UserError: in one line.
    """
    if world_size() > 1:
        raise UserError("--ensemble: shards are trained by --shard_workers processes, not by --nproc ones together")
    if model_class.type is ModelType.TRADITIONAL:
        raise UserError(
            f"--ensemble trains a model for each shard, and {model_class.__name__} is fitted: --unlearning_algorithm "
            "exact deletes from it without shards"
        )
    partition, aggregator = get_partition(config["partition"]), get_aggregator(config["aggregate"])
    if dataset.task_type != "CF" and partition.by != "user":
        raise UserError(
            f"--partition {partition.name} spreads a user's rows over shards, and {model_class.__name__} learns from "
            "whole sequences of them; --partition hash keeps them together"
        )
    if dataset.task_type != "CF" and partition.needs_vectors:
        raise UserError(
            f"--partition {partition.name} looks at vectors of users and items, and {model_class.__name__} has none of "
            "users; --partition hash needs none"
        )
    if aggregator.of_users and partition.by != "user":
        raise UserError(
            f"--aggregate {aggregator.name} takes a user's vector from the shard that holds the user, and --partition "
            f"{partition.name} spreads users over shards; take ot, ubp or bekm"
        )
    objects = {"user": dataset.n_users - 1, "item": dataset.n_items - 1}.get(partition.by, dataset.inter_num)
    if config["num_shards"] > objects:
        raise UserError(f"--num_shards {config['num_shards']}: there are only {objects} {partition.by}s to spread")
    aggregator.refuse(model_class(config, dataset))


def make_partition(run: Run, state: State, workspace: Workspace) -> Partitioned:
    """Return the partition of the rows that a state retains.

    A row that it has forgotten gets a shard too, by its number: the partition is a function of what is retained.

    Args:
        run: the ensemble's settings.
        state: of the model that requests are put to, which has forgotten nothing; or of one that has.
        workspace: keeps the partition while the shards are trained.

    Raises:
        UserError: there are more shards than there are objects left to spread.
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
    whole = partition.exact_level == "E2"  # which is a function of tokens: who is in no training row has a shard too
    rows = np.flatnonzero(~state.forgotten if whole else (log.split == TRAIN) & ~state.forgotten)
    given = _given(run, state.dataset, rows, vectors)
    shard_of = _of_all_rows(state.dataset, partition, rows, partition.assign(given), config["num_shards"])
    shard_of[state.forgotten] = np.flatnonzero(state.forgotten) % config["num_shards"]
    sizes = np.bincount(shard_of[~state.forgotten], minlength=config["num_shards"])
    logger.info("partition %s: %s", partition.name, ", ".join(map(str, sizes)))
    cost = {"seconds": now(config["device"]) - wall, "cpu_seconds": time.process_time() - cpu}
    found = Partitioned(shard_of, about | {"shard_rows": sizes.tolist()}, **cost)
    workspace.keep(kept, digest, shard_of=torch.from_numpy(shard_of), about=dict(found.about), cost=cost)
    return found


def agreement(one: np.ndarray, other: np.ndarray, n_shards: int) -> float:
    """Return how far two partitions of the same rows agree, whatever the shards' numbers: the adjusted Rand index.

    L. Hubert, P. Arabie, "Comparing partitions", Journal of Classification 1985 (equation numbers not checked).

    Args:
        one, other: int16 [rows], the shard of each row.
        n_shards: of both.

    Returns:
        1 where they are the same, 0 in the mean where neither tells anything of the other.
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
    """Return the shard of every log row, int16 [rows], where some have one.

    The others go with the rows of their user (of their item, where the partition is of items): to the shard that has
    the most of these, the first of equal ones; whoever has none goes by id.
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
    """Return vectors of users and items, float32 [n, d], of a WMF of a state's training data, after some epochs."""
    config, model_class = run.config, get_model("WMF")
    own = packaged("model/WMF.yaml").values | {
        "model": "WMF", "MODEL_INPUT_TYPE": InputType.POINTWISE, "ensemble": None, "weight_decay": 0.0,
        "seed": torch_seed(config["seed"], "pretrain"), "epochs": config["pretrain_epochs"], "eval_step": 0,
        "max_training_hours": None, "clip_grad_norm": None,
    }  # fmt: skip
    aside = State("pretrained", state.dataset, state.forgotten, n_planted=state.n_planted)
    part = PartRun(config.with_values(**own), model_class, {})
    model = learn(part, aside, resume=workspace.resume("pretrain", part.identity(aside))).model
    if not isinstance(model, GeneralRecommender) or (vectors := model.vectors()) is None:
        raise TypeError(f"{type(model).__name__} has no vectors to partition by")
    users, items = (table.detach().cpu().numpy().astype(np.float32) for table in vectors)
    return users, items
