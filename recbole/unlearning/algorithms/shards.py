"""Exact unlearning of an ensemble: shards that contained a forgotten row are trained again from scratch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole.config import Config
from recbole.data import Dataset
from recbole.data.ids import distinct
from recbole.data.split import TEST, TRAIN
from recbole.ensemble.learning import learn_ensemble
from recbole.ensemble.model import Ensemble
from recbole.ensemble.partitioning import agreement, make_partition
from recbole.ensemble.training import Workspace
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer.state import Run, State
from recbole.unlearning.algorithm import NoHyperParameters, UnlearningAlgorithm, hyperparameter
from recbole.unlearning.outcome import PHASES, NotApplied, Outcome, failures_as_outcomes
from recbole.unlearning.request import Request
from recbole.utils import UserError
from recbole.utils.clock import Clock
from recbole.utils.deadline import Deadline

_CLOCKS = ("seconds", "cpu_seconds")


@dataclass(frozen=True)
class ShardsHyper(NoHyperParameters):
    """Hyper-parameters of the algorithm ``shards``; the help text of each field describes it."""

    materialise: str = hyperparameter(
        "lazy",
        "when affected shards are trained again: eager (after each request) or lazy (at the checkpoints), same result",
    )
    repartition: bool = hyperparameter(
        False,
        "at each checkpoint partition the retained data again and train everything on it, to see what a partition "
        "of the full log reveals about forgotten rows",
    )


class Shards(UnlearningAlgorithm):
    """Retrains the shards of an ensemble that contained a forgotten row, and then the aggregation.

    It locates the shards of the forgotten rows, trains their models again from their initial values, and then trains
    the aggregation of all models. L. Bourtoule et al., "Machine Unlearning", S&P 2021; for recommendation C. Chen et
    al., "Recommendation Unlearning", WWW 2022.

    Each shard's model is a function of its retained rows. The ensemble is therefore bit-identical to one trained from
    scratch without the forgotten rows, given the base model's partition. That holds in any order of requests. Shards
    may be trained after each request (``eager``) or once at each checkpoint (``lazy``); with ``lazy`` the affected
    shards must not be used in between. A row held out for validation affects its shard too, because it influenced when
    training stopped. A row held out for the test affects no shard.

    The partition does not change. If it was computed from the interactions, it may still reveal a forgotten row
    (``exact_level`` E1 in the record). If it was not (``hash``), nothing reveals the row (E2). With ``repartition``
    nothing does either: at each checkpoint the retained data are partitioned again, by embeddings that are trained
    again on them, and all shards and the aggregation are trained on that partition. This costs as much as the first
    training, so it is no practical way to unlearn; it serves to measure what the partition reveals. The time budget
    does not apply: partly trained shards would not be a valid deletion.

    Attributes:
        partition: int16 [rows], the base model's shard of each log row.
        workspace: the files of finished shards and of snapshots of training.
        hits: for each request so far, the numbers of the affected shards.
        trainings: cost figures of each training so far.
    """

    name = "shards"
    Hyper = ShardsHyper
    hyper: ShardsHyper
    serves_ensembles = True
    model: Ensemble

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        if self.hyper.materialise not in ("eager", "lazy"):
            raise UserError(f"--materialise should be eager or lazy, not '{self.hyper.materialise}'")
        self.puts_off = self.hyper.materialise == "lazy"
        if self.hyper.repartition:
            self._check_repartition()
        self.partition = self.model.shard_of.cpu().numpy().copy()
        self.workspace = Workspace()
        self.hits: list[list[int]] = []
        self.trainings: list[dict[str, Any]] = []

    def check(self, model: AbstractRecommender) -> None:
        """Refuse a model that is not an ensemble.

        Raises:
            UserError: it is a single model.
        """
        if not isinstance(model, Ensemble):
            raise UserError(
                f"shards applies only to ensembles, and {type(model).__name__} is a single model trained on all data: "
                "give --ensemble, both here and when training the base model"
            )

    def _check_repartition(self) -> None:
        """Refuse ``--repartition`` with settings to which it does not apply.

        Raises:
            UserError: the partition does not depend on the interactions, or shards are trained after each request.
        """
        if self.config["partition"] in ("hash", "random"):
            raise UserError(
                f"--repartition does not apply to --partition {self.config['partition']}, which does not depend on the "
                "interactions and so reveals nothing about a forgotten one"
            )
        if self.hyper.materialise == "eager":
            raise UserError(
                "--repartition trains all shards at each checkpoint, and excludes --materialise eager, which trains "
                "after each request; use --materialise lazy"
            )

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return no names: shards are trained again, not updated."""
        return ()

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mark the requests' rows as forgotten.

        With ``eager`` the affected shards are trained right away; with ``lazy``, in :meth:`complete`.
        """
        clock = Clock(self.device, *PHASES)
        change = self.bench.forget(np.concatenate([request.rows for request in requests]))
        hits = {request.entity: self._hit(np.intersect1d(request.rows, change.rows)) for request in requests}
        idle = {request.entity: request.unknown or Outcome.NOTHING for request in requests if not hits[request.entity]}
        clock.lap("prepare")
        self.hits += hits.values()
        if len(idle) == len(requests):
            return Outcome("skipped", Outcome.NOTHING, seconds=clock.phases, idle=idle)
        outcome = Outcome("applied", idle=idle, n_examples=(len(change.before), len(change.after)))
        outcome.work = {"shards": sorted({shard for found in hits.values() for shard in found})}
        if not self.puts_off:
            before = _values(self.model)
            try:
                with failures_as_outcomes():
                    self.complete()
            except NotApplied as reason:  # these shards are trained again with the next request
                outcome.status, outcome.reason = reason.status, reason.reason
            after = _values(self.model)
            size = float(torch.linalg.vector_norm(before))
            outcome.relative_change = float(torch.linalg.vector_norm(after - before)) / max(size, 1e-30)
        clock.lap("solve")
        outcome.seconds = clock.phases
        return outcome

    def _hit(self, rows: np.ndarray) -> list[int]:
        """Return the numbers of the shards trained or validated on any of some log rows (int64 indices), ascending."""
        counted = rows[self.dataset.log.split[rows] != TEST]
        return distinct(self.model.shard_of.cpu().numpy()[counted]).tolist()

    @property
    def stale(self) -> list[int]:
        """Numbers of the shards whose models still depend on a forgotten row, ascending."""
        return self._hit(np.flatnonzero(self.dataset.forgotten & ~self.model.without.cpu().numpy()))

    def complete(self) -> bool:
        """Train the shards that still depend on a forgotten row, and then the aggregation.

        With ``repartition`` the retained data are partitioned again, and all shards are trained.

        Returns:
            Whether anything was trained.
        """
        stale, model = self.stale, self.model
        if stale:
            state = State("unlearned", self.dataset, self.dataset.forgotten.copy())
            run = Run(self.config.with_values(max_training_hours=None), Ensemble)
            told, shard_of = {}, model.shard_of.cpu().numpy()
            fresh = {shard: of.state_dict() for shard, of in enumerate(model.shards) if shard not in stale}
            if self.hyper.repartition:
                told, shard_of, fresh = *self._repartitioned(run, state), {}
            learned = learn_ensemble(run, state, shard_of, self.workspace, fresh)
            model.load_state_dict(learned.model.state_dict())
            self.trainings.append(learned.costs.described() | told)
        else:  # new forgotten rows, if any, were held out for the test: no model depends on them
            model.without.copy_(torch.from_numpy(self.dataset.forgotten))
        self.bench.rebuild()
        model.eval()
        return bool(stale)

    def _repartitioned(self, run: Run, state: State) -> tuple[dict[str, Any], np.ndarray]:
        """Partition the retained data again; return cost figures, and the partition, int16 [rows of the log]."""
        found = make_partition(run, state, self.workspace)
        kept = ~state.forgotten & (state.dataset.log.split == TRAIN)
        alike = agreement(self.partition[kept], found.shard_of[kept], run.config["num_shards"])
        return found.cost | {"partition_agreement": alike}, found.shard_of

    def memory(self) -> dict[str, Any]:
        """Return the attributes ``hits`` and ``trainings`` for a snapshot."""
        return {"hits": self.hits, "trainings": self.trainings}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Restore the state of a snapshot. The model's own buffers show which shards still have to be trained.

        Args:
            state_dict: the model's parameters and buffers.
            forgotten: bool [rows of the log], True for rows that were forgotten when the snapshot was taken.
            memory: what :meth:`memory` returned; ``None`` if there is none.
        """
        super().restore(state_dict, forgotten)
        if memory is not None:
            self.hits, self.trainings = memory["hits"], memory["trainings"]

    def work_beside(self, stem: Path) -> None:
        """Store finished shards and snapshots of training in files whose paths begin with ``stem``."""
        self.workspace = Workspace(stem)

    def finish(self) -> None:
        """Remove the files of :meth:`work_beside`."""
        self.workspace.remove()

    def costs(self) -> dict[str, Any]:
        """Return the affected shards and costs of training, see :meth:`Bill.described`, and ``materialise``."""
        bill = Bill(self.hits, self.trainings, int(self.config["num_shards"]), self.hyper.repartition)
        return bill.described() | {"materialise": self.hyper.materialise}


@dataclass(frozen=True)
class Bill:
    """Computes what the requests to an ensemble cost.

    Attributes:
        hits: numbers of the shards that each request affected, in the order of the requests.
        trainings: cost figures of each training, see :meth:`~recbole.ensemble.learning.Costs.described`. With
            ``repartition`` they include ``partition_seconds``, ``partition_cpu_seconds`` and ``partition_agreement``.
        n_shards: number of shards in the ensemble.
        repartition: whether every training used a new partition, and trained all shards.
    """

    hits: Sequence[Sequence[int]]
    trainings: Sequence[Mapping[str, Any]]
    n_shards: int
    repartition: bool = False

    def described(self) -> dict[str, Any]:
        """Return the costs as entries of a record.

        ``shards_hit`` is the number of affected shards for each request, and ``dirty_shards`` the number of distinct
        shards affected up to and including that request. ``expected_dirty_shards`` is ``K (1 - (1 - 1/K)^r)``, its
        expectation for r requests that affect one random shard of K each. ``shards_trained``, ``shard_seconds``,
        ``aggregate_seconds`` and their CPU seconds are sums over all trainings. ``projected_eager_seconds`` is the time
        in seconds that training after each request would take, given the mean seconds of each shard's trainings, and
        ``projected_eager_cpu_seconds`` its CPU time. With ``repartition``, ``partition_agreement`` lists, for each
        training, the adjusted Rand index between its partition and the base model's, over the retained training rows.
        """
        dirty: set[int] = set()
        found = [len(dirty := dirty | set(hit)) for hit in self.hits]
        k = self.n_shards
        return {
            "shards_hit": [len(hit) for hit in self.hits],
            "dirty_shards": found,
            "expected_dirty_shards": [k * (1 - (1 - 1 / k) ** r) for r in range(1, len(self.hits) + 1)],
            "shards_trained": sum(len(training["shard_seconds"]) for training in self.trainings),
            **{f"shard_{clock}": self._sum(f"shard_{clock}") for clock in _CLOCKS},
            **{f"aggregate_{clock}": self._sum(f"aggregate_{clock}") for clock in _CLOCKS},
            **{f"projected_eager_{clock}": self._projected(clock) for clock in _CLOCKS},
        } | (self._of_partitions() if self.repartition else {})

    def _of_partitions(self) -> dict[str, Any]:
        """Return the entries that records have only with ``repartition``."""
        return {
            "repartition": True,
            **{f"partition_{clock}": self._sum(f"partition_{clock}") for clock in _CLOCKS},
            "partition_agreement": [training["partition_agreement"] for training in self.trainings],
        }

    def _sum(self, name: str) -> float:
        """Return the sum of one cost figure over trainings; a figure given per shard is summed over shards too."""
        taken = [training.get(name, 0.0) for training in self.trainings]
        return sum(sum(one.values()) if isinstance(one, Mapping) else one for one in taken)

    def _projected(self, clock: str) -> float:
        """Return the seconds, by a clock (``seconds`` or ``cpu_seconds``), that training after each request would take.

        Each training is assumed to take the mean of those that were measured.
        """
        mean, every = self._mean(f"shard_{clock}"), range(self.n_shards)
        eager = [sum(mean.get(one, 0.0) for one in (every if self.repartition else hit)) for hit in self.hits if hit]
        rest = self._sum(f"aggregate_{clock}") + self._sum(f"partition_{clock}")
        return sum(eager) + rest / max(len(self.trainings), 1) * len(eager)

    def _mean(self, name: str) -> dict[int, float]:
        """Return each shard's mean of a cost figure over its trainings: shard number to seconds."""
        taken: dict[int, list[float]] = {}
        for training in self.trainings:
            for shard, seconds in training[name].items():
                taken.setdefault(int(shard), []).append(seconds)
        return {shard: sum(seconds) / len(seconds) for shard, seconds in taken.items()}


def _values(model: Ensemble) -> torch.Tensor:
    """Return all parameters of the ensemble as one float64 vector, on the CPU."""
    return torch.cat([parameter.detach().double().reshape(-1).cpu() for parameter in model.parameters()])
