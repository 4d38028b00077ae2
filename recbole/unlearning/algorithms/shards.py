"""Exact unlearning of an ensemble: the shards that held a forgotten row are trained again from their start."""

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
    """The hyper-parameters of ``shards``."""

    materialise: str = hyperparameter(
        "lazy", "when hit shards are trained again: eager, after each request, or lazy, at the checkpoints; same bits"
    )
    repartition: bool = hyperparameter(
        False,
        "at each checkpoint partition what is retained anew and train everything on it, to see what a partition "
        "of the full log tells of forgotten rows",
    )


class Shards(UnlearningAlgorithm):
    """Deletes from an ensemble: what a request hits is trained again without it, and so is the aggregation.

    Locate the shards of the rows, mask these, train the hit shards' models from their initial values, then what puts
    the models together. L. Bourtoule et al., "Machine Unlearning", S&P 2021; for recommendation C. Chen et al.,
    "Recommendation Unlearning", WWW 2022.

    Every shard's model is a function of its retained rows, so the ensemble is, to the bit, what training all of it from
    scratch without the rows makes, with the partition that the base has: whatever the order of the requests, and
    whether the shards are trained again after each of them (``eager``) or once at each checkpoint (``lazy``, in between
    which the stale shards must not answer anybody). A row that was held out for validation hits its shard too, as it
    had a say in when training stopped; one held out for the test hits none.

    The partition stays, so a partition that looked at the data may still tell of a forgotten row: ``exact_level`` E1 in
    the record; with E2 (``hash``) nothing does. With ``repartition`` nothing does either: at each checkpoint what is
    retained is partitioned anew, by vectors that are trained anew on it, and all shards and the aggregation are trained
    on that. It is no way to delete, as it costs what the first training did, but the yardstick for what the partition
    tells. The time budget is not enforced: shards that are trained in part would be no valid deletion.
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
        """Refuse what is no ensemble."""
        if not isinstance(model, Ensemble):
            raise UserError(
                f"shards deletes from an ensemble, and {type(model).__name__} is one model of all data: give "
                "--ensemble, here and where the base is trained"
            )

    def _check_repartition(self) -> None:
        """Refuse to partition anew where that means nothing."""
        if self.config["partition"] in ("hash", "random"):
            raise UserError(
                f"--repartition: --partition {self.config['partition']} does not look at what a row says, so it has "
                "nothing of a forgotten one to tell"
            )
        if self.hyper.materialise == "eager":
            raise UserError("--repartition trains everything anew at each checkpoint: leave --materialise eager away")

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return no parameter: none is moved, some are trained again."""
        return ()

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mask the requests' rows, and train again what they hit, or leave that to :meth:`complete`."""
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
            except NotApplied as reason:  # the shards stay stale, and are trained again with the next
                outcome.status, outcome.reason = reason.status, reason.reason
            after = _values(self.model)
            size = float(torch.linalg.vector_norm(before))
            outcome.relative_change = float(torch.linalg.vector_norm(after - before)) / max(size, 1e-30)
        clock.lap("solve")
        outcome.seconds = clock.phases
        return outcome

    def _hit(self, rows: np.ndarray) -> list[int]:
        """Return the shards whose models log rows (int64) had a part in, ascending."""
        counted = rows[self.dataset.log.split[rows] != TEST]
        return distinct(self.model.shard_of.cpu().numpy()[counted]).tolist()

    @property
    def stale(self) -> list[int]:
        """The shards whose models still know of a forgotten row, ascending."""
        return self._hit(np.flatnonzero(self.dataset.forgotten & ~self.model.without.cpu().numpy()))

    def complete(self) -> bool:
        """Train the stale shards again, or all on a partition of what is left, and the aggregation, if any is stale."""
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
        else:  # of rows held out for the test no model knows
            model.without.copy_(torch.from_numpy(self.dataset.forgotten))
        self.bench.rebuild()
        model.eval()
        return bool(stale)

    def _repartitioned(self, run: Run, state: State) -> tuple[dict[str, Any], np.ndarray]:
        """Return the partition of what is retained, int16 [rows], and before it what is told of it."""
        found = make_partition(run, state, self.workspace)
        kept = ~state.forgotten & (state.dataset.log.split == TRAIN)
        alike = agreement(self.partition[kept], found.shard_of[kept], run.config["num_shards"])
        return found.cost | {"partition_agreement": alike}, found.shard_of

    def memory(self) -> dict[str, Any]:
        """Return what was hit, and what the trainings took."""
        return {"hits": self.hits, "trainings": self.trainings}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Take up a snapshot; which shards are stale follows from what the parameters say they are without."""
        super().restore(state_dict, forgotten)
        if memory is not None:
            self.hits, self.trainings = memory["hits"], memory["trainings"]

    def work_beside(self, stem: Path) -> None:
        """Keep shards that are trained already, and snapshots of training, in files of a stem."""
        self.workspace = Workspace(stem)

    def finish(self) -> None:
        """Remove these files."""
        self.workspace.remove()

    def costs(self) -> dict[str, Any]:
        """Return how many shards were hit, and what their training took and would have taken request by request."""
        bill = Bill(self.hits, self.trainings, int(self.config["num_shards"]), self.hyper.repartition)
        return bill.described() | {"materialise": self.hyper.materialise}


@dataclass(frozen=True)
class Bill:
    """What requests cost.

    Attributes:
        hits: the shards that each request hit, in the order of the requests.
        trainings: what each training took: :meth:`~recbole.ensemble.learning.Costs.described`; with ``repartition`` its
            partition too, ``partition_seconds`` and ``partition_cpu_seconds``, and ``partition_agreement``.
        n_shards: of the ensemble.
        repartition: whether every training was of all shards, on a partition of its own.
    """

    hits: Sequence[Sequence[int]]
    trainings: Sequence[Mapping[str, Any]]
    n_shards: int
    repartition: bool = False

    def described(self) -> dict[str, Any]:
        """Return it as a record holds it.

        ``shards_hit`` is by request, ``dirty_shards`` how many different ones were hit by then, and
        ``expected_dirty_shards`` what ``K (1 - (1 - 1/K)^r)`` would be of r requests that hit one each. Trainings are
        summed; ``projected_eager_seconds`` is the time that eager work takes at the mean seconds of a shard's training,
        ``projected_eager_cpu_seconds`` its CPU time. ``partition_agreement`` is by training: the adjusted Rand index of
        its partition and the base's, over the training rows that are left.
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
        return {
            "repartition": True,
            **{f"partition_{clock}": self._sum(f"partition_{clock}") for clock in _CLOCKS},
            "partition_agreement": [training["partition_agreement"] for training in self.trainings],
        }

    def _sum(self, name: str) -> float:
        """Return the sum over trainings of what each took, or what each of its shards did."""
        taken = [training.get(name, 0.0) for training in self.trainings]
        return sum(sum(one.values()) if isinstance(one, Mapping) else one for one in taken)

    def _projected(self, clock: str) -> float:
        """Return what eager work takes by a clock: of each request its shards and the rest of a training, at means."""
        mean, every = self._mean(f"shard_{clock}"), range(self.n_shards)
        eager = [sum(mean.get(one, 0.0) for one in (every if self.repartition else hit)) for hit in self.hits if hit]
        rest = self._sum(f"aggregate_{clock}") + self._sum(f"partition_{clock}")
        return sum(eager) + rest / max(len(self.trainings), 1) * len(eager)

    def _mean(self, name: str) -> dict[int, float]:
        """Return the mean seconds, named so, of each shard's trainings."""
        taken: dict[int, list[float]] = {}
        for training in self.trainings:
            for shard, seconds in training[name].items():
                taken.setdefault(int(shard), []).append(seconds)
        return {shard: sum(seconds) / len(seconds) for shard, seconds in taken.items()}


def _values(model: Ensemble) -> torch.Tensor:
    """Return all parameters as one vector, float64."""
    return torch.cat([parameter.detach().double().reshape(-1).cpu() for parameter in model.parameters()])
