"""What unlearning algorithms work with: the model, the data, and the training examples that a request affects."""

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
    """The model and the data that the requests of a run change one after another.

    Args:
        config: the run's configuration.
        model: the model that is to forget, built on the data.
        dataset: the data, with a mask of the rows (interactions) that are forgotten; other rows are *retained*.

    Attributes:
        negatives: the sampler of negatives for the model's batches, see :class:`~recbole.data.Negatives`.
        n_train: number of retained training examples.
        readers: counts how many retained examples read each table row; ``None`` unless the algorithm sets it.
        unread: parameter name to the table rows (int64, ascending) that no retained example reads any more, since the
            latest :meth:`forget`. :meth:`rebuild` takes out rows that every batch reads (the model's ``candidates``).
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
        """The device of the model's parameters."""
        return next(self.model.parameters()).device

    def forget(self, rows: np.ndarray) -> Change:
        """Mark rows (interactions; int64 indices) as forgotten, and return which training examples this changes."""
        change = self.dataset.forget(rows)
        self.n_train -= len(change.before) - len(change.after)
        self.negatives.forget(change.rows)
        self._new.append(change.rows)
        self.unread = {} if self.readers is None else self.readers.follow(change)
        return change

    def rebuild(self) -> None:
        """Recompute what the model derives from the data, such as its graph, without the forgotten interactions."""
        if self._new:
            self.model.rebuild_without(self.dataset, np.concatenate(self._new))
        else:
            self.model.rebuild(self.dataset)
        self._new = []
        if self.readers is not None:
            self.unread = self.readers.unread(self.unread)

    def restore(self, forgotten: np.ndarray) -> None:
        """Mark all rows with True in ``forgotten`` (bool [rows of the log]) as forgotten, and rebuild the model."""
        rows = np.flatnonzero(forgotten & ~self.dataset.forgotten)
        self.dataset.forgotten[rows] = True
        self.negatives.forget(rows)
        self.n_train = len(self.dataset.train_examples())
        self._new = []
        self.model.rebuild(self.dataset)
        if self.readers is not None:
            self.readers.count()

    def stream(self, index: int, *name: str | int) -> np.random.Generator:
        """Return a random generator that is seeded by the run's seed, the index of a request and a name.

        Args:
            index: the request's index.
            name: strings and numbers that say what the random numbers are for.
        """
        return stream(self.config["seed"], "unlearn", index, *name)

    def with_negatives(self, batch: Interaction, times: int, index: int, *name: str | int) -> Interaction:
        """Return a batch with ``times`` negatives per positive, drawn with the generator ``stream(index, *name)``."""
        return self.negatives.add(batch, in_turn(self.stream(index, *name, "negatives")), times)


@dataclass(frozen=True)
class Case:
    """One or several requests that are answered together, with everything that an algorithm needs to answer them.

    An array of training examples holds their identifiers (int64): the index of the target's row in the log, in
    next-basket recommendation the index of the target basket. *Retained* means not forgotten. Random draws come from
    generators that are seeded by the run's seed, the first request's index and a name, so they can be repeated.

    Attributes:
        requests: the requests in their order, at least one.
        change: the training examples that contain a forgotten row (interaction), before and after forgetting.
        deadline: the time limit for the requests.
        bench: the model and the data. The rows that the requests name are already marked as forgotten in the data.
    """

    requests: Sequence[Request]
    change: Change
    deadline: Deadline
    bench: Workbench

    @property
    def index(self) -> int:
        """The first request's index, with which all random generators are seeded."""
        return self.requests[0].index

    def check_time(self, when: str) -> None:
        """Raise an exception if the requests' time is up.

        Args:
            when: completes the message "time was up ...", as in "before the gradients".

        Raises:
            NotApplied: the time is up; its status is ``timeout``.
        """
        if self.deadline.passed():
            raise NotApplied("timeout", f"time was up {when}")

    def idle(self) -> dict[str, str]:
        """Return the requests that change no training example: raw token of the user (session) to reason, as text."""
        user, before = self.bench.dataset.log.user, self.change.before
        touched = distinct(before[self.bench.dataset.uid_field].numpy()) if len(before) else np.zeros(0, np.int64)
        return {
            request.entity: request.unknown or Outcome.NOTHING
            for request in self.requests
            if not held(user[request.rows], touched).any()
        }

    def reset(self, names: Sequence[str]) -> list[str]:
        """Return the requests that need no parameter update, only a reset of table rows to their initial values.

        The affected examples of such a request read (use in their loss) no rows of the given parameters but those in
        ``bench.unread``, which no retained example reads any more.

        Args:
            names: names of the parameters that the algorithm may change.

        Returns:
            Raw tokens of the requests' users (sessions).
        """
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
        """Return whether a batch looks up only rows of the table ``name`` that no retained example reads any more."""
        ids = torch.cat([batch[field].reshape(-1) for field in self.bench.model.row_tables[name] if field in batch])
        return bool(torch.isin(ids[ids > 0], self.bench.unread.get(name, ids[:0])).all())

    def stream(self, *name: str | int) -> np.random.Generator:
        """Return a random generator for these requests; ``name`` says what its random numbers are for."""
        return self.bench.stream(self.index, *name)

    def with_negatives(self, batch: Interaction, times: int, *name: str | int) -> Interaction:
        """Return a batch with ``times`` negatives per positive, drawn with the generator ``stream(*name)``."""
        return self.bench.with_negatives(batch, times, self.index, *name)

    @property
    def pairwise(self) -> bool:
        """Whether each row of a training batch holds a positive and a sampled negative, as for a BPR loss."""
        negatives = self.bench.negatives
        return negatives.times > 0 and negatives.input_type is InputType.PAIRWISE

    def uniforms(self, *name: str | int) -> Uniforms:
        """Return a function that yields uniform random numbers for drawing negatives, with ``stream(*name)``."""
        return in_turn(self.stream(*name))

    def multiplicity(self, wanted: int) -> tuple[int, int]:
        """Return the number of negatives per positive, and the number of batch rows per training example.

        The loss of an example is the mean over its rows. For a pairwise loss, each negative makes one row, and many
        negatives estimate the expected loss better than one. For a pointwise loss, the positive and each negative make
        one row each, and the number of negatives is that of training. Without negatives the result is (1, 1).

        Args:
            wanted: the number of negatives per positive for a pairwise loss; ignored for other losses.
        """
        negatives = self.bench.negatives
        if not negatives.times:
            return 1, 1
        if self.pairwise:
            return wanted, wanted
        return negatives.times, negatives.times + 1

    def paired(self, times: int = 1) -> tuple[Interaction, Interaction]:
        """Return the training examples that contain a forgotten row, before and after forgetting, with negatives.

        An example that still exists after forgetting has the same negatives in both batches.

        Args:
            times: number of negatives per positive, as consecutive blocks of rows; ignored by models without negatives.
        """
        change, negatives = self.change, self.bench.negatives
        before = self.with_negatives(change.before, times, "request")
        if not negatives.times or not len(change.after):
            return before, change.after
        return before, negatives.like(change.after, before, change.kept, times)

    def context(self, times: int = 1, limit: int = 4096) -> tuple[Interaction, float]:
        """Return at most ``limit`` retained examples of the requesting users, with ``times`` negatives per positive.

        They are drawn uniformly. The second value is the fraction of these users' retained examples that was drawn.
        """
        return self._drawn(self.bench.dataset.examples_of(self.change.entities), limit, "context", times)

    def retained(self, n: int, times: int = 1) -> tuple[Interaction, float]:
        """Return at most ``n`` retained training examples, drawn uniformly, with ``times`` negatives per positive.

        The second value is the fraction of all retained training examples that was drawn.
        """
        drawn = self.retained_examples(n)
        batch = self.with_negatives(self.bench.dataset.collate(drawn), times, "retained")
        return batch, max(len(drawn), 1) / max(self.bench.n_train, 1)

    def retained_examples(self, n: int | None, name: str = "retained") -> np.ndarray:
        """Return retained training examples (int64 identifiers), drawn uniformly.

        Args:
            n: how many; fewer are returned if there are fewer. ``None`` returns all.
            name: the random generator's name, see :meth:`stream`.
        """
        if n is None or n >= self.bench.n_train:
            return self.bench.dataset.train_examples()
        return self.bench.dataset.draw_examples(n, self.stream(name))

    def affected(self, hops: float, limit: int, times: int = 1) -> tuple[list[tuple[Interaction, float]], bool]:
        """Return examples that contain no forgotten row, but whose loss changes because the model's graph loses edges.

        These are retained examples near the forgotten rows in the interaction graph, and others whose sampled negative
        is near them. Examples of ``change.after`` are not included.

        Args:
            hops: largest graph distance that counts as near; the model's ``reach`` is used instead if it is smaller.
            limit: largest number of examples near the rows, and of other examples whose negatives are inspected.
            times: number of negatives per positive for a pairwise loss.

        Returns:
            Batches with the weight of each one's loss sum, which together estimate the summed loss of all such
            examples; and whether none of these is missing. No batches if ``reach`` is ``None`` or ``limit`` is 0.
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
        """Draw retained examples with negatives, and return the batch rows whose negative is near the forgotten rows.

        About ``limit`` examples are drawn that are not in ``known`` (int64 identifiers, ascending). The second value is
        the fraction of all such examples that was drawn. A negative is near within graph distance ``hops``.
        """
        data, negatives = self.bench.dataset, self.bench.negatives
        examples, size = self._others(limit, known, "reached by negatives")
        batch = self.with_negatives(data.collate(examples), times, "reached by negatives")
        pairwise = negatives.input_type is InputType.PAIRWISE
        drawn = batch[negatives.negative_field if pairwise else negatives.iid_field].cpu().numpy()
        return batch[np.flatnonzero(held(drawn, data.items_near(self.change.rows, hops)))], len(examples) / size

    def curvature_sample(self, n: int, times: int = 1) -> tuple[list[Interaction], list[float], bool]:
        """Return a weighted sample of the retained examples, from which the Hessian of their summed loss is estimated.

        A small uniform sample would rarely look up the requesting users' table rows, and would estimate their block of
        the Hessian as zero. Therefore three strata are sampled separately, each weighted by its size: the requesting
        users' own examples, those of other users with the forgotten items, and the rest.

        Args:
            n: largest number of examples from each stratum; from the requesting users' own it is at least 4096.
            times: number of negatives per positive in the users' own examples, for a pairwise loss; others have one.

        Returns:
            The batches, the weight of each batch's loss sum, and whether they contain all retained examples.
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
        """Return at most ``limit`` of some examples (int64 identifiers), drawn uniformly, and the fraction drawn.

        ``name`` is the name of the random generator, see :meth:`stream`.
        """
        if len(examples) <= limit:
            return examples, 1.0
        return self.stream(name).choice(examples, limit, replace=False), limit / len(examples)

    def _others(self, n: int, known: np.ndarray, name: str) -> tuple[np.ndarray, int]:
        """Return a uniform sample of the retained examples that are not in ``known``, and the number of all of these.

        If a sample contains only known examples, one of four times the size is drawn, and so on.

        Args:
            n: number of examples to draw before the known ones are removed, at least 1.
            known: int64, ascending, identifiers of retained examples.
            name: the random generator's name, see :meth:`stream`.
        """
        size, found = self.bench.n_train - len(known), known[:0]
        while size and not len(found):
            found = without(self.retained_examples(n, name), known)
            n *= 4
        return found, size

    def _drawn(self, examples: np.ndarray, limit: int, name: str, times: int) -> tuple[Interaction, float]:
        examples, share = self.some(examples, limit, name)
        return self.with_negatives(self.bench.dataset.collate(examples), times, name), share
