"""What an unlearning algorithm may ask of the data: the examples of a request, and retained ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from recbole.config import Config
from recbole.data import Change, Dataset, Interaction, Negatives
from recbole.data.ids import distinct, held, without
from recbole.data.sampler import Uniforms, in_turn
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.outcome import NotApplied, Outcome
from recbole.unlearning.request import Request
from recbole.unlearning.unread import Readers, draws
from recbole.utils import InputType, stream
from recbole.utils.deadline import Deadline


class Workbench:
    """What one request after another works on: the model, and the data under the current mask.

    Args:
        config: the run's configuration.
        model: the model that is to forget, as it was built on the data.
        dataset: the data under the current mask.

    Attributes:
        negatives: :class:`~recbole.data.Negatives` for the model's batches.
        n_train: number of training examples that are left.
        readers: counts who reads which rows, for an algorithm that sets it.
        unread: rows that nothing reads any more since the last forgetting, once the model is rebuilt.
    """

    readers: Readers | None = None

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        self.config, self.model, self.dataset = config, model, dataset
        self.negatives = Negatives(config, dataset, cast(InputType, model.input_type))
        self.n_train = len(dataset.train_examples())
        self._new: list[np.ndarray] = []
        self.unread: dict[str, torch.Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next(self.model.parameters()).device

    def forget(self, rows: np.ndarray) -> Change:
        """Mask log rows (int64) and return the :class:`~recbole.data.Change` that this makes."""
        change = self.dataset.forget(rows)
        self.n_train -= len(change.before) - len(change.after)
        self.negatives.forget(change.rows)
        self._new.append(change.rows)
        self.unread = {} if self.readers is None else self.readers.follow(change)
        return change

    def rebuild(self) -> None:
        """Bring what the model derives from the data (a graph) up to date with the mask."""
        if self._new:
            self.model.rebuild_without(self.dataset, np.concatenate(self._new))
        else:
            self.model.rebuild(self.dataset)
        self._new = []
        if self.readers is not None:
            self.unread = self.readers.unread(self.unread)

    def restore(self, forgotten: np.ndarray) -> None:
        """Mask what had been forgotten when a snapshot was taken (bool [len(log)]), too, and rebuild the model."""
        rows = np.flatnonzero(forgotten & ~self.dataset.forgotten)
        self.dataset.forgotten[rows] = True
        self.negatives.forget(rows)
        self.n_train = len(self.dataset.train_examples())
        self._new = []
        self.model.rebuild(self.dataset)
        if self.readers is not None:
            self.readers.count()

    def stream(self, index: int, *name: str | int) -> np.random.Generator:
        """Return the random stream of that name of the request with that index."""
        return stream(self.config["seed"], "unlearn", index, *name)

    def with_negatives(self, batch: Interaction, times: int, index: int, *name: str | int) -> Interaction:
        """Return a batch with ``times`` negatives for each positive, drawn from a request's stream of that name."""
        return self.negatives.add(batch, in_turn(self.stream(index, *name, "negatives")), times)


@dataclass(frozen=True)
class Case:
    """Requests that are answered together, with all that the work on them needs.

    What is drawn comes from streams that are keyed by the run's seed, the first request's index and what it is for.

    Attributes:
        requests: in their order, at least one.
        change: the training examples as they were and as they are.
        deadline: until when they are to be answered.
        bench: the model, and the data under a mask that covers the requests.
    """

    requests: Sequence[Request]
    change: Change
    deadline: Deadline
    bench: Workbench

    @property
    def index(self) -> int:
        """The first request's index, which keys the random streams."""
        return self.requests[0].index

    def check_time(self, when: str) -> None:
        """Raise ``NotApplied`` when the time is up; ``when`` says what was or was not done, as "before the gradients".

        Raises:
            NotApplied: with status ``timeout``.
        """
        if self.deadline.passed():
            raise NotApplied("timeout", f"time was up {when}")

    def idle(self) -> dict[str, str]:
        """Return why there was nothing to do for those of the requests of whom no training example changes."""
        user, before = self.bench.dataset.log.user, self.change.before
        touched = distinct(before[self.bench.dataset.uid_field].numpy()) if len(before) else np.zeros(0, np.int64)
        return {
            request.entity: request.unknown or Outcome.NOTHING
            for request in self.requests
            if not held(user[request.rows], touched).any()
        }

    def reset(self, names: Sequence[str]) -> list[str]:
        """Return the entities of which only ``unread`` rows hold what was forgotten, among the parameters ``names``."""
        bench, before = self.bench, self.change.before
        tables = bench.model.row_tables
        if not bench.unread or bench.model.reach is not None or not set(names) <= set(tables):
            return []
        if any(draws(bench.negatives, tables[name]) for name in names):
            return []
        users, idle, found = before[bench.dataset.uid_field], self.idle(), []
        for request in self.requests:
            if request.entity not in idle:
                own = before[users == int(bench.dataset.log.user[request.rows[0]])]
                found += [request.entity] * all(self._is_unread(name, own) for name in names)
        return found

    def _is_unread(self, name: str, batch: Interaction) -> bool:
        ids = torch.cat([batch[field].reshape(-1) for field in self.bench.model.row_tables[name] if field in batch])
        return bool(torch.isin(ids[ids > 0], self.bench.unread.get(name, ids[:0])).all())

    # --- random streams ------------------------------------------------------------------------------------------

    def stream(self, *name: str | int) -> np.random.Generator:
        """Return the case's random stream of that name (strings and numbers)."""
        return self.bench.stream(self.index, *name)

    def with_negatives(self, batch: Interaction, times: int, *name: str | int) -> Interaction:
        """Return a batch with negatives drawn from the case's stream of that name (strings and numbers)."""
        return self.bench.with_negatives(batch, times, self.index, *name)

    @property
    def pairwise(self) -> bool:
        """Whether each positive has negatives beside it in its row."""
        negatives = self.bench.negatives
        return negatives.times > 0 and negatives.input_type is InputType.PAIRWISE

    def uniforms(self, *name: str | int) -> Uniforms:
        """Return what negatives are drawn by, from the case's stream of that name (strings and numbers)."""
        return in_turn(self.stream(*name))

    def multiplicity(self, wanted: int) -> tuple[int, int]:
        """Return how many negatives to put beside each positive, and how many rows of a batch an example then makes.

        An example's loss is the mean over its rows. A pairwise loss is an expectation over negatives, which ``wanted``
        draws estimate better than one; a pointwise loss has its negatives as rows, in the proportion of training.
        """
        negatives = self.bench.negatives
        if not negatives.times:
            return 1, 1
        if self.pairwise:
            return wanted, wanted
        return negatives.times, negatives.times + 1

    # --- examples ------------------------------------------------------------------------------------------------

    def paired(self, times: int = 1) -> tuple[Interaction, Interaction]:
        """Return ``(before, after)``; a target that is in both has the same negatives in both.

        A model that takes negatives gets ``times`` for each positive, as rows one after the other.
        """
        change, negatives = self.change, self.bench.negatives
        before = self.with_negatives(change.before, times, "request")
        if not negatives.times or not len(change.after):
            return before, change.after
        return before, negatives.like(change.after, before, change.kept, times)

    def context(self, times: int = 1, limit: int = 4096) -> tuple[Interaction, float]:
        """Return the requesters' retained training examples, at most ``limit``, and which share of them that is."""
        return self._drawn(self.bench.dataset.examples_of(self.change.entities), limit, "context", times)

    def retained(self, n: int, times: int = 1) -> tuple[Interaction, float]:
        """Return ``n`` (or fewer) retained training examples, drawn evenly, and which share of them that is."""
        drawn = self.retained_examples(n)
        batch = self.with_negatives(self.bench.dataset.collate(drawn), times, "retained")
        return batch, max(len(drawn), 1) / max(self.bench.n_train, 1)

    def retained_examples(self, n: int | None, name: str = "retained") -> np.ndarray:
        """Return the numbers of ``n`` (or fewer) retained training examples, drawn evenly; ``None`` gives all."""
        if n is None or n >= self.bench.n_train:
            return self.bench.dataset.train_examples()
        return self.bench.dataset.draw_examples(n, self.stream(name))

    def affected(self, hops: float, limit: int, times: int = 1) -> tuple[list[tuple[Interaction, float]], bool]:
        """Return other retained examples whose loss changes when the rows leave what the model derives from the data.

        These are the examples near the rows and, of the others, those with a negative that is near: what an item's
        neighbours were shifts it wherever it is read. Those of ``change.after`` are not among them.

        Args:
            hops: how far to look in the graph, at most; the model's own ``reach`` may be less.
            limit: at most so many examples near the rows, and so many of the others, whose negatives are looked at.
            times: negatives for each positive.

        Returns:
            Batches, each with the weight of its rows' losses: nothing for a model whose losses do not depend on other
            people's rows. And whether they hold all affected examples, as far as the model reaches.
        """
        reach = self.bench.model.reach
        if reach is None or not limit:
            return [], reach is None
        data, (times, rows) = self.bench.dataset, self.multiplicity(times)
        near = without(data.examples_near(self.change.rows, min(hops, reach)), self.change.left)
        batch, share = self._drawn(near, limit, "affected", times)
        found, whole = [(batch, 1 / (share * rows))], hops >= reach and share == 1
        known = distinct(np.concatenate([near, self.change.left]))
        if self.bench.negatives.times and len(known) < self.bench.n_train:
            batch, share = self._reached_by_negatives(min(hops, reach), limit, known, times)
            found, whole = [*found, (batch, 1 / (share * rows))], whole and share == 1
        return found, whole

    def _reached_by_negatives(
        self, hops: float, limit: int, known: np.ndarray, times: int
    ) -> tuple[Interaction, float]:
        """Return rows of examples besides known ones whose negative is near the rows, and of which share they are."""
        data, negatives = self.bench.dataset, self.bench.negatives
        examples, size = self._others(limit, known, "reached by negatives")
        batch = self.with_negatives(data.collate(examples), times, "reached by negatives")
        pairwise = negatives.input_type is InputType.PAIRWISE
        drawn = batch[negatives.negative_field if pairwise else negatives.iid_field].cpu().numpy()
        return batch[np.flatnonzero(held(drawn, data.items_near(self.change.rows, hops)))], len(examples) / size

    def curvature_sample(self, n: int, times: int = 1) -> tuple[list[Interaction], list[float], bool]:
        """Return retained examples that stand for all: batches, and the weight of each of their loss sums.

        A small uniform sample would rarely touch the rows of look-up tables that belong to the requesters, so that
        their block of the Hessian would be zero. Therefore the requesters' own examples (at most 4096, or ``n``, with
        ``times`` negatives), those of others on the same items and the rest of the data (at most ``n`` of each) are
        drawn apart, each weighted to its number.

        Returns:
            The batches, their weights, and whether they hold all retained examples.
        """
        data, n_train = self.bench.dataset, self.bench.n_train
        own = data.examples_of(self.change.entities)
        linked = without(data.examples_near(self.change.rows), own)
        others, n_others = self._others(n, np.sort(np.concatenate([own, linked])), "retained")
        strata = {
            "own": (own, len(own), max(4096, n), times),
            "linked": (linked, len(linked), n, 1),
            "others": (others, n_others, n, 1),
        }
        batches, weights = [], []
        for name, (examples, size, most, wanted) in strata.items():
            if len(examples):
                negatives, rows = self.multiplicity(wanted)
                batches.append(self._drawn(examples, most, name, negatives)[0])
                weights.append(size / (min(len(examples), most) * rows))
        return batches, weights, n >= n_train

    def some(self, examples: np.ndarray, limit: int, name: str) -> tuple[np.ndarray, float]:
        """Return at most ``limit`` of the examples (int64), drawn evenly, and which share of them that is."""
        if len(examples) <= limit:
            return examples, 1.0
        return self.stream(name).choice(examples, limit, replace=False), limit / len(examples)

    def _others(self, n: int, known: np.ndarray, name: str) -> tuple[np.ndarray, int]:
        """Return about ``n`` retained training examples besides known ones, drawn evenly, and how many such there are.

        A draw that finds none of them is made again, four times as large: there is at least one where there are any.

        Args:
            n: how many are drawn, the known ones among them; at least 1.
            known: int64, ascending, retained examples.
            name: of the stream.
        """
        size, found = self.bench.n_train - len(known), known[:0]
        while size and not len(found):
            found = without(self.retained_examples(n, name), known)
            n *= 4
        return found, size

    def _drawn(self, examples: np.ndarray, limit: int, name: str, times: int) -> tuple[Interaction, float]:
        examples, share = self.some(examples, limit, name)
        return self.with_negatives(self.bench.dataset.collate(examples), times, name), share
