"""Exact unlearning of an ensemble: shards that contained a forgotten interaction are trained again from scratch."""

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
    """Retrains the shards of an ensemble that contained a forgotten interaction, and then the aggregation.

    It locates the shards of the forgotten interactions, trains their models again from their initial values, and then
    trains the aggregation, which combines the scores of all models. L. Bourtoule et al., "Machine Unlearning", S&P
    2021; for recommendation C. Chen et al., "Recommendation Unlearning", WWW 2022.

    Each shard's model is a function of its retained rows. The ensemble is therefore bit-identical to one trained from
    scratch without the forgotten rows, given the base model's partition. That holds in any order of requests. Shards
    may be trained after each request (``eager``) or once at each of the run's checkpoints (``lazy``); with ``lazy`` the
    affected shards must not be used in between. A row held out for validation affects its shard too, because it
    influenced when training stopped. A row held out for the test affects no shard.

    The partition does not change. If it was computed from the interactions, it may still reveal a forgotten row
    (``exact_level`` E1 in the run's record). If it was computed from user tokens alone (``hash``), nothing reveals the
    row (E2). With ``repartition`` nothing does either: at each checkpoint the retained data are partitioned again, by
    embeddings that are trained again on them, and all shards and the aggregation are trained on that partition. This
    costs as much as the first training, so it is no practical way to unlearn; it serves to measure what the partition
    reveals. The time budget does not apply: partly trained shards would not be a valid deletion.

    Attributes:
        partition: int16 [rows], the base model's shard of each log row.
        workspace: the files with finished shards and with snapshots of unfinished training.
        hits: for each request so far, the numbers of the shards that it affects.
        trainings: cost figures of each training so far, see :class:`Bill`.
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
            UserError: the model is a single model.
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
        """Return an empty tuple: shards are trained again, and no parameter is updated."""
        return ()

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mark the requests' interactions as forgotten, and retrain if ``materialise`` is ``eager``.

        With ``lazy``, :meth:`complete` retrains later.

        Args:
            requests: the requests, which are answered together.
            deadline: not used.

        Returns:
            The outcome: ``applied`` if any request affects a shard, otherwise ``skipped``; with ``eager`` also
            ``diverged`` if a training ran out of memory or overflowed. ``shards`` in its ``work`` lists the affected
            shards.
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
        """Return the numbers of the shards whose models depend on any of some log rows, ascending.

        Args:
            rows: int64, indices of log rows. Test rows are ignored: a shard depends on its training and validation
                rows.
        """
        counted = rows[self.dataset.log.split[rows] != TEST]
        return distinct(self.model.shard_of.cpu().numpy()[counted]).tolist()

    @property
    def stale(self) -> list[int]:
        """Numbers of the shards whose models were trained or validated on a row that is now forgotten, ascending."""
        return self._hit(np.flatnonzero(self.dataset.forgotten & ~self.model.without.cpu().numpy()))

    def complete(self) -> bool:
        """Train the shards that still depend on a forgotten interaction, and then the aggregation.

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
        """Partition the retained data again.

        Args:
            run: the ensemble's settings.
            state: the data, with the mask of forgotten rows.

        Returns:
            Cost figures, and the new partition, int16 [rows of the log]. The figures are ``partition_seconds``,
            ``partition_cpu_seconds`` and ``partition_agreement``: the adjusted Rand index between the new partition and
            the base model's over the retained training rows, 1 if they are the same.
        """
        found = make_partition(run, state, self.workspace)
        kept = ~state.forgotten & (state.dataset.log.split == TRAIN)
        alike = agreement(self.partition[kept], found.shard_of[kept], run.config["num_shards"])
        return found.cost | {"partition_agreement": alike}, found.shard_of

    def memory(self) -> dict[str, Any]:
        """Return ``hits`` and ``trainings``, to be stored in a snapshot from which an interrupted run continues."""
        return {"hits": self.hits, "trainings": self.trainings}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Restore the state that is stored in a snapshot of an interrupted run.

        The buffers in ``state_dict`` tell which shards still have to be trained.

        Args:
            state_dict: the model's parameters and buffers.
            forgotten: bool [rows of the log], True for interactions that were forgotten when the snapshot was taken.
            memory: what :meth:`memory` returned for the snapshot; ``None`` if there is none.
        """
        super().restore(state_dict, forgotten)
        if memory is not None:
            self.hits, self.trainings = memory["hits"], memory["trainings"]

    def work_beside(self, stem: Path) -> None:
        """Store finished shards, and snapshots of unfinished training, in files.

        Args:
            stem: path with which the paths of these files begin.
        """
        self.workspace = Workspace(stem)

    def finish(self) -> None:
        """Remove the files that :meth:`work_beside` announced."""
        self.workspace.remove()

    def costs(self) -> dict[str, Any]:
        """Return the affected shards and the costs of training, see :meth:`Bill.described`, and ``materialise``."""
        bill = Bill(self.hits, self.trainings, int(self.config["num_shards"]), self.hyper.repartition)
        return bill.described() | {"materialise": self.hyper.materialise}


@dataclass(frozen=True)
class Bill:
    """Computes what the requests to an ensemble cost.

    Attributes:
        hits: for each request, in their order, the numbers of the shards that it affects.
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
        """Return the costs as entries of the run's record.

        - ``shards_hit``: for each request, the number of shards that it affects.
        - ``dirty_shards``: for each request, the number of distinct shards that it or an earlier request affects.
        - ``expected_dirty_shards``: ``K (1 - (1 - 1/K)^r)`` for the r-th request, the expectation of ``dirty_shards``
          if each request affects one random shard of K.
        - ``shards_trained``, ``shard_seconds``, ``aggregate_seconds``: sums over all trainings; ``..._cpu_seconds``
          likewise.
        - ``projected_eager_seconds``, ``projected_eager_cpu_seconds``: estimated time of training after each request,
          from the mean time of each shard's trainings.
        - ``partition_agreement`` (only with ``repartition``): for each training, the adjusted Rand index between its
          partition and the base model's, over the retained training rows.
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
        """Return the entries of the record that exist only with ``repartition``."""
        return {
            "repartition": True,
            **{f"partition_{clock}": self._sum(f"partition_{clock}") for clock in _CLOCKS},
            "partition_agreement": [training["partition_agreement"] for training in self.trainings],
        }

    def _sum(self, name: str) -> float:
        """Return the sum of one cost figure over all trainings, and over shards if the figure is given per shard.

        Args:
            name: name of the figure; trainings without this figure count as 0.
        """
        taken = [training.get(name, 0.0) for training in self.trainings]
        return sum(sum(one.values()) if isinstance(one, Mapping) else one for one in taken)

    def _projected(self, clock: str) -> float:
        """Estimate the seconds that training after each request would take.

        A shard's training is assumed to take the mean over the shard's trainings that were measured, 0 if there was
        none. The aggregation, and with ``repartition`` the partition, are assumed to take their mean over all
        trainings.

        Args:
            clock: ``seconds`` (wall time) or ``cpu_seconds``.
        """
        mean, every = self._mean(f"shard_{clock}"), range(self.n_shards)
        eager = [sum(mean.get(one, 0.0) for one in (every if self.repartition else hit)) for hit in self.hits if hit]
        rest = self._sum(f"aggregate_{clock}") + self._sum(f"partition_{clock}")
        return sum(eager) + rest / max(len(self.trainings), 1) * len(eager)

    def _mean(self, name: str) -> dict[int, float]:
        """Return the mean of a cost figure over each shard's trainings: shard number to mean.

        Args:
            name: name of a figure that is given per shard, such as ``shard_seconds``.
        """
        taken: dict[int, list[float]] = {}
        for training in self.trainings:
            for shard, seconds in training[name].items():
                taken.setdefault(int(shard), []).append(seconds)
        return {shard: sum(seconds) / len(seconds) for shard, seconds in taken.items()}


def _values(model: Ensemble) -> torch.Tensor:
    """Return all parameters of the ensemble as one float64 vector, on the CPU."""
    return torch.cat([parameter.detach().double().reshape(-1).cpu() for parameter in model.parameters()])
