"""Trains the models of an ensemble's shards, in this process or in worker processes."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from glob import escape
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import recbole
from recbole.config.identity import Identity
from recbole.trainer.checkpoint import load_checkpoint, save_checkpoint
from recbole.trainer.learn import learn, new_model
from recbole.trainer.resume import ResumeFile, fingerprint
from recbole.trainer.state import Run, State
from recbole.utils import UserError
from recbole.utils.device import now
from recbole.utils.ending import asked_to_stop, can_go_on_from, ignore_signals
from recbole.utils.files import remove
from recbole.utils.launcher import die_with_starter
from recbole.utils.seeds import torch_seed

logger = logging.getLogger("recbole")


@dataclass(frozen=True)
class PartRun(Run):
    """The settings for training one part of an ensemble: a shard's model, the aggregation, or pretrained embeddings.

    Attributes:
        more: name to value of what determines the trained part in addition to settings, data and mask, such as the
            shard's number.
    """

    more: Mapping[str, Any] = field(default_factory=dict)

    def identity(self, state: State) -> Identity:
        """Return the identity of the trained part: the settings and data that determine its parameters.

        Args:
            state: the data to train on, with the mask of forgotten rows.
        """
        return Identity(dict(super().identity(state).settings) | dict(self.more))


@dataclass(frozen=True)
class Trained:
    """The trained model of a shard, and its cost.

    Attributes:
        weights: the model's ``state_dict``, on the CPU.
        examples: the number of training examples.
        epochs: the number of training epochs; 0 for an empty shard, whose weights are the initial ones.
        seconds, cpu_seconds: wall and CPU seconds of the training.
    """

    weights: dict[str, torch.Tensor]
    examples: int
    epochs: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Workspace:
    """The files of an ensemble whose training is not finished: finished parts, and snapshots of parts in training.

    The parts are the partition, the embeddings from which it is computed, the shards' models and the aggregation. After
    an interruption, training continues from these files.

    Attributes:
        stem: the path with which the files' paths begin; None saves nothing.
    """

    stem: Path | None = None

    def _finished(self, part: str) -> Path | None:
        """Return the path of the file for a finished part, by the part's name; None if nothing is saved."""
        return None if self.stem is None else self.stem.with_name(f"{self.stem.name}.{part}.part")

    def known(self, part: str, digest: str) -> dict[str, Any] | None:
        """Return the saved content of a finished part; None if there is no file, or the file has another digest.

        Args:
            part: the part's name, such as ``shard_0``.
            digest: SHA-256 of all settings and data on which the part depends.
        """
        path = self._finished(part)
        if path is None or not path.exists():
            return None
        stored = load_checkpoint(path)
        if stored.get("digest") != digest:
            return None
        can_go_on_from(path)
        return stored

    def keep(self, part: str, digest: str, **content: Any) -> None:
        """Save a finished part to its file.

        Args:
            part: the part's name, such as ``shard_0``.
            digest: SHA-256 of all settings and data on which the part depends.
            content: tensors and JSON values to save.
        """
        path = self._finished(part)
        if path is not None:
            save_checkpoint(path, {"digest": digest} | content)
            can_go_on_from(path)

    def resume(self, part: str, identity: Identity) -> ResumeFile | None:
        """Return the file for snapshots of a part in training; None if nothing is saved.

        Args:
            part: the part's name, such as ``shard_0``.
            identity: the settings and data that determine the part; an existing snapshot for another identity is not
                used.
        """
        if self.stem is None:
            return None
        path = self.stem.with_name(f"{self.stem.name}.{part}.resume")
        return ResumeFile(path, fingerprint(digest=identity.digest, version=recbole.__version__))

    def remove(self) -> None:
        """Delete all files of the workspace, once the finished ensemble is saved."""
        if self.stem is not None:
            for ending in ("part", "resume"):
                for path in self.stem.parent.glob(f"{escape(self.stem.name)}.*.{ending}"):
                    remove(path)


@dataclass(frozen=True)
class Shards:
    """The shards of an ensemble: settings, data and partition.

    Attributes:
        run: the ensemble's settings, with the class of the shards' models.
        state: the data, with the mask of forgotten rows.
        shard_of: int16 [rows], the shard of each log row.
    """

    run: Run
    state: State
    shard_of: np.ndarray = field(repr=False)

    def part(self, shard: int) -> tuple[PartRun, State]:
        """Return the settings and the data for training a shard's model.

        Each shard has its own seed. The seed of shard 0 is the run's, so that an ensemble with a single shard equals
        the model trained on all data. A limit on the training time is divided evenly among the shards.

        Args:
            shard: the shard's number.
        """
        config, absent = self.run.config, self.shard_of != shard
        seed = torch_seed(config["seed"], "shard", shard) if shard else config["seed"]
        hours = config["max_training_hours"]
        own = config.with_values(seed=seed, max_training_hours=None if hours is None else hours / config["num_shards"])
        given, forgotten = self.state.dataset.part(absent), self.state.forgotten & ~absent
        rows = hashlib.sha256(np.packbits(self.shard_of == shard).tobytes()).hexdigest()
        run = PartRun(own, self.run.model_class, {"shard": shard, "rows": rows})
        return run, State("shard", given, forgotten, n_planted=self.state.n_planted)

    def train(self, shard: int, workspace: Workspace) -> Trained:
        """Return a shard's trained model.

        A finished model is read from the workspace. Otherwise the model is trained, starting from the workspace's
        snapshot if there is one, and saved to the workspace.

        Args:
            shard: the shard's number.
            workspace: the files of finished shards and snapshots.
        """
        run, state = self.part(shard)
        identity, name = run.identity(state), f"shard_{shard}"
        if stored := workspace.known(name, identity.digest):
            return Trained(stored["weights"], **stored["cost"])
        resume = workspace.resume(name, identity)
        trained = _train(run, state, resume)
        cost = {key: value for key, value in vars(trained).items() if key != "weights"}
        workspace.keep(name, identity.digest, weights=trained.weights, cost=cost)
        if resume is not None:
            resume.remove()
        return trained


def _train(run: PartRun, state: State, resume: ResumeFile | None) -> Trained:
    """Train a shard's model. Without training examples, the model keeps its initial parameters.

    Args:
        run: the shard's settings.
        state: the shard's data.
        resume: the file for snapshots of the training; None for no snapshots.
    """
    wall, cpu = now(run.config["device"]), time.process_time()
    examples, epochs = len(state.data.train_examples()), 0
    if examples:
        learned = learn(run, state, resume=resume)
        model, epochs = learned.model, len(learned.progress.epoch_seconds)
    else:
        model = new_model(run, state)
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    return Trained(weights, examples, epochs, now(run.config["device"]) - wall, time.process_time() - cpu)


def train_all(
    shards: Shards, wanted: Collection[int], workspace: Workspace, workers: int = 1
) -> Iterator[tuple[int, Trained]]:
    """Train the models of some shards, and yield (shard number, trained model) in ascending order of the numbers.

    Args:
        shards: settings, data and partition.
        wanted: numbers of the shards to train.
        workspace: the files of finished shards and snapshots.
        workers: the number of worker processes. Each trains one shard at a time and saves the model to the workspace,
            from which this process reads it. With 1, or a workspace without files, this process trains the shards.

    Raises:
        UserError: a training diverged, or a file cannot be written.
        MemoryError: a training ran out of memory, or the system killed a worker process.
    """
    order = sorted(wanted)
    if min(workers, len(order)) < 2 or workspace.stem is None:
        for shard in order:
            yield shard, _logged(shard, shards.train(shard, workspace))
        return
    context = get_context("forkserver")  # its server imports torch once and has no threads, which a fork would lose
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(min(workers, len(order)), context, _begin_worker) as pool:
        futures = {shard: pool.submit(_work, shards, shard, workspace) for shard in order}
        try:
            for shard, future in futures.items():
                mistake = future.result()
                if mistake:
                    raise UserError(mistake)
                yield shard, _logged(shard, shards.train(shard, workspace))  # reads the file that the worker wrote
        except BrokenProcessPool as error:
            raise MemoryError(
                "a worker process that trained a shard was killed, probably because memory ran out; a smaller "
                "--shard_workers needs less"
            ) from error
        finally:
            if asked_to_stop():  # the next run continues from the workers' snapshots
                for process in active_children():
                    process.kill()
            pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Prepare a worker process: ignore signals, which the parent process handles, and exit when the parent does."""
    ignore_signals()
    die_with_starter()


def _work(shards: Shards, shard: int, workspace: Workspace) -> str:
    """Train a shard in a worker process, and save the model to the workspace.

    Returns:
        The message of the ``UserError`` with which the training failed; an empty string if it succeeded.
    """
    try:
        shards.train(shard, workspace)
    except UserError as error:
        return str(error)
    return ""


def _logged(shard: int, trained: Trained) -> Trained:
    """Log the number of examples and epochs, and the seconds, of a shard's training; return ``trained``."""
    logger.info(
        "shard %d: %d training examples, %d epochs, %.1fs", shard, trained.examples, trained.epochs, trained.seconds
    )
    return trained
