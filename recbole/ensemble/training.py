"""The training of one shard, wherever it takes place: in this process, or in one of its own."""

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
    """The run of a part of an ensemble.

    Attributes:
        more: what makes its model beside settings, data and mask.
    """

    more: Mapping[str, Any] = field(default_factory=dict)

    def identity(self, state: State) -> Identity:
        """Return what makes the trained model of a state."""
        return Identity(dict(super().identity(state).settings) | dict(self.more))


@dataclass(frozen=True)
class Trained:
    """A shard's model.

    Attributes:
        weights: its ``state_dict``, on the CPU.
        examples: how many it was trained on.
        epochs: how many it was trained for; 0 of an empty shard, whose weights are those that it started with.
        seconds, cpu_seconds: that the training took.
    """

    weights: dict[str, torch.Tensor]
    examples: int
    epochs: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Workspace:
    """The files of unfinished work: shards that are trained, and snapshots of those that are not.

    Attributes:
        stem: what the paths begin with; None: nothing is kept.
    """

    stem: Path | None = None

    def _finished(self, part: str) -> Path | None:
        return None if self.stem is None else self.stem.with_name(f"{self.stem.name}.{part}.part")

    def known(self, part: str, digest: str) -> dict[str, Any] | None:
        """Return what was kept of a finished part, if it was made by what the digest is of."""
        path = self._finished(part)
        if path is None or not path.exists():
            return None
        stored = load_checkpoint(path)
        if stored.get("digest") != digest:
            return None
        can_go_on_from(path)
        return stored

    def keep(self, part: str, digest: str, **content: Any) -> None:
        """Keep a finished part, tensors and plain values, with a digest of what made it."""
        path = self._finished(part)
        if path is not None:
            save_checkpoint(path, {"digest": digest} | content)
            can_go_on_from(path)

    def resume(self, part: str, identity: Identity) -> ResumeFile | None:
        """Return the snapshots of a part that is being trained."""
        if self.stem is None:
            return None
        path = self.stem.with_name(f"{self.stem.name}.{part}.resume")
        return ResumeFile(path, fingerprint(digest=identity.digest, version=recbole.__version__))

    def remove(self) -> None:
        """Delete all of it: what it was for is written."""
        if self.stem is not None:
            for ending in ("part", "resume"):
                for path in self.stem.parent.glob(f"{escape(self.stem.name)}.*.{ending}"):
                    remove(path)


@dataclass(frozen=True)
class Shards:
    """What decides the models of all shards of one state, each of its own rows alone.

    Attributes:
        run: the ensemble's settings, bound to the class of the shards' models.
        state: the ensemble's.
        shard_of: int16 [rows], the shard of each log row.
    """

    run: Run
    state: State
    shard_of: np.ndarray = field(repr=False)

    def part(self, shard: int) -> tuple[PartRun, State]:
        """Return the run and the state of a shard's model.

        The first shard has the run's own seed, so that an ensemble of one shard is the model of all data.
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
        """Return a shard's model: trained from its initial values, or as an interrupted run had trained it."""
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
    """Yield the wanted shards, ascending, each with its model.

    Args:
        shards: of which state.
        wanted: their numbers.
        workspace: where unfinished work is kept.
        workers: how many are trained at the same time, each by a process of its own, that hands its model over in the
            workspace's files; with 1, or without files, in this process.

    Raises:
        UserError: a training diverged, or a file cannot be written.
        MemoryError: there is too little for a training, or the system ended its process.
    """
    order = sorted(wanted)
    if min(workers, len(order)) < 2 or workspace.stem is None:
        for shard in order:
            yield shard, _told(shard, shards.train(shard, workspace))
        return
    context = get_context("forkserver")  # which imports torch once, and has no threads that a fork could lose
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(min(workers, len(order)), context, _begin_worker) as pool:
        futures = {shard: pool.submit(_work, shards, shard, workspace) for shard in order}
        try:
            for shard, future in futures.items():
                mistake = future.result()
                if mistake:
                    raise UserError(mistake)
                yield shard, _told(shard, shards.train(shard, workspace))  # which reads what the process wrote
        except BrokenProcessPool as error:
            raise MemoryError("a process that trained a shard was killed, as the system does without memory") from error
        finally:
            if asked_to_stop():  # what they have kept is gone on from
                for process in active_children():
                    process.kill()
            pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Leave signals to the process that started this one, and end with it."""
    ignore_signals()
    die_with_starter()


def _work(shards: Shards, shard: int, workspace: Workspace) -> str:
    """Train a shard in a process of its own and leave its file; return a user's mistake, or an empty string."""
    try:
        shards.train(shard, workspace)
    except UserError as error:
        return str(error)
    return ""


def _told(shard: int, trained: Trained) -> Trained:
    logger.info(
        "shard %d: %d training examples, %d epochs, %.1fs", shard, trained.examples, trained.epochs, trained.seconds
    )
    return trained
