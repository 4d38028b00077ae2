"""What every unlearning algorithm is: a step that is worked out aside, checked, and then put in place."""

import time
from dataclasses import dataclass, field, fields
from typing import ClassVar

import numpy as np
import torch

from recbole.data import Interaction, Negatives
from recbole.unlearning.curvature import trained
from recbole.utils import InputType, UserError, stream


def setting(default, help_text, above=None, least=None, most=None):
    """Return a dataclass field for a hyper-parameter: its default, its help, and the values that it may have."""
    return field(default=default, metadata={"help": help_text, "above": above, "least": least, "most": most})


@dataclass(frozen=True)
class HyperParameters:
    """Base of the algorithms' hyper-parameters.

    A field's name is its command-line flag and configuration key; ``metadata["help"]`` is its help.

    Raises:
        UserError: when a value is outside the bounds that :func:`setting` was given.
    """

    max_norm: float | None = field(
        default=None, metadata={"help": "largest Euclidean norm of one request's parameter change (default: no limit)"}
    )

    def __post_init__(self):
        for one in fields(self):
            value, bounds = getattr(self, one.name), one.metadata
            above, least, most = (bounds.get(name) for name in ("above", "least", "most"))
            if value is None:
                continue
            if above is not None and not value > above:
                raise UserError(f"--{one.name}: {value} is not above {above}")
            if least is not None and not value >= least:
                raise UserError(f"--{one.name}: {value} is less than {least}")
            if most is not None and not value <= most:
                raise UserError(f"--{one.name}: {value} is more than {most}")


@dataclass
class Outcome:
    """How a request ended and what it cost.

    Attributes:
        status: ``applied``, ``skipped``, ``timeout`` or ``diverged``.
        reason: why it is not ``applied``.
        relative_change: norm of the parameter change over the norm of the parameters (rows) that may change.
        seconds: by phase: ``prepare``, ``solve``, ``apply``.
        n_examples: training examples that contained a forgotten row, and how many of them are left.
        work: what the algorithm counted: ``n_hvp``, ``residual`` and the like.
    """

    status: str
    reason: str = ""
    relative_change: float = 0.0
    seconds: dict = field(default_factory=dict)
    n_examples: tuple = (0, 0)
    work: dict = field(default_factory=dict)


class NotApplied(Exception):
    """Raised by an algorithm to leave the model as it is; ``status`` is ``timeout``, ``diverged`` or ``skipped``."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass
class Step:
    """A change of parameters that has been worked out but not made.

    Attributes:
        subspace: :class:`~recbole.unlearning.curvature.Subspace` that it lives in.
        delta: flat vector to add.
        work: what it cost.
    """

    subspace: object
    delta: torch.Tensor
    work: dict


class _Laps:
    """Adds up seconds by phase."""

    def __init__(self, started):
        self.last, self.seconds = started, dict.fromkeys(("prepare", "solve", "apply"), 0.0)

    def lap(self, phase):
        now = time.perf_counter()
        self.seconds[phase] += now - self.last
        self.last = now


class UnlearningAlgorithm:
    """Changes a trained model so that it forgets, request by request.

    To add one: a module in this folder with a subclass that has a ``name``, a ``Hyper`` dataclass and a
    :meth:`solve`. Flags, help, configuration keys and documentation follow from those.

    Args:
        config: the run's configuration.
        model: the model to change, in place.
        dataset: the data under the current mask; :meth:`forget` sets its bits.

    Raises:
        UserError: when the algorithm means nothing on the model, or a hyper-parameter is out of bounds.
    """

    name: ClassVar[str] = ""
    Hyper: ClassVar[type] = HyperParameters

    def __init__(self, config, model, dataset):
        self.config, self.model, self.dataset = config, model, dataset
        self.check(model)
        values = {f.name: config[f.name] for f in fields(self.Hyper) if config[f.name] is not None}
        self.hyper = self.Hyper(**values)
        self.negatives = Negatives(config, dataset, model.input_type)
        self.n_train = len(dataset.train_examples())

    def check(self, model):
        """Refuse a model that the algorithm means nothing on.

        Raises:
            UserError: with the reason.
        """
        if not model.trainable or not self.moves(model):
            raise UserError(
                f"{self.name} changes parameters that were learned by gradient, and {type(model).__name__} has none; "
                "--unlearning_algorithm exact deletes from models that are fitted"
            )

    @classmethod
    def moves(cls, model):
        """Return the names of the parameters that the algorithm may change; no other is touched."""
        return trained(model)

    def observe(self, change, index, out_of_time):
        """Look at the model while what it derives from the data (a graph) still holds what is to be forgotten.

        Whatever this returns is ``self.observed`` in :meth:`solve`, which comes after the model's ``rebuild``. The
        arguments and what may be raised are those of :meth:`solve`.
        """

    def solve(self, change, index, out_of_time):
        """Work out the change of parameters for one request.

        Args:
            change: :class:`~recbole.data.Change`: the examples as they were and as they are.
            index: the request's index, which keys its random streams.
            out_of_time: function that says whether the request's time is up.

        Returns:
            :class:`Step`.

        Raises:
            NotApplied: when the time is up or the step diverged.
        """
        raise NotImplementedError

    def forget(self, rows, index, budget=None):
        """Forget log rows: mask them, then change the model.

        Args:
            rows: int64, the rows of one request, or of a batch of them.
            index: index of the (first) request.
            budget: seconds, or None.

        Returns:
            :class:`Outcome`; unless it is ``applied`` the parameters are as they were.
        """
        started = time.perf_counter()
        clock = _Laps(started)
        change = self.dataset.forget(rows)
        self.n_train -= len(change.before) - len(change.after)
        if self.negatives.times:
            self.negatives.sampler.pairs.discard(self.dataset.log.user[change.rows], self.dataset.log.item[change.rows])
        sizes = (len(change.before), len(change.after))
        clock.lap("prepare")
        if not sizes[0]:
            return Outcome("skipped", "no training example", seconds=clock.seconds)
        out_of_time = (lambda: False) if budget is None else (lambda: time.perf_counter() - started > budget)
        try:
            outcome = self.answer(change, index, out_of_time, clock)
        except NotApplied as reason:
            outcome = Outcome(reason.status, self._cause(reason))
            clock.lap("solve")
        outcome.seconds, outcome.n_examples = clock.seconds, sizes
        return outcome

    def _cause(self, reason):
        """Return why a step was not made; what an algorithm met may go back to parameters that were broken before."""
        if reason.status == "diverged":
            for name, parameter in self.model.named_parameters():
                if not torch.isfinite(parameter).all():
                    return f"the model's parameters are not finite, and were not before the request: {name}"
        return reason.reason

    def answer(self, change, index, out_of_time, clock):
        """Change the model for a request whose bits are set, and return the :class:`Outcome`.

        Arguments and what may be raised are those of :meth:`solve`; ``clock.lap`` names the phase that has ended.
        """
        try:
            self.observed = self.observe(change, index, out_of_time)
        finally:
            clock.lap("solve")
            self.model.rebuild(self.dataset)
            clock.lap("prepare")
        step = self.solve(change, index, out_of_time)
        clock.lap("solve")
        outcome = self._apply(step)
        clock.lap("apply")
        return outcome

    def go_on(self, state_dict, forgotten):
        """Take up a snapshot: the parameters, and the mask (bool [len(log)]) of what had been forgotten by then."""
        log, rows = self.dataset.log, np.flatnonzero(forgotten & ~self.dataset.forgotten)
        self.dataset.forgotten[rows] = True
        if self.negatives.times:
            self.negatives.sampler.pairs.discard(log.user[rows], log.item[rows])
        self.n_train = len(self.dataset.train_examples())
        self.model.load_state_dict(state_dict)
        self.model.rebuild(self.dataset)

    def _apply(self, step):
        size = float(step.delta.double().norm())
        if not torch.isfinite(step.delta).all():
            raise NotApplied("diverged", "the step is not finite")
        if self.hyper.max_norm is not None and size > self.hyper.max_norm:
            step.delta *= self.hyper.max_norm / size
            step.work["clipped_from"] = size
            size = self.hyper.max_norm
        relative = size / max(step.subspace.norm(), 1e-30)
        before = step.subspace.values()
        step.subspace.add(step.delta)
        if all(torch.equal(old, new) for old, new in zip(before, step.subspace.values(), strict=True)):
            return Outcome("skipped", "the step changes no parameter", work=step.work)
        return Outcome("applied", relative_change=relative, work=step.work)

    # --- what algorithms may ask of the data ---------------------------------------------------------------------

    def multiplicity(self, wanted):
        """Return how many negatives to put beside each positive, and how many rows of a batch an example then makes.

        An example's loss is the mean over its rows. A pairwise loss is an expectation over negatives, which ``wanted``
        draws estimate better than one; a pointwise loss has its negatives as rows, in the proportion of training.
        """
        if not self.negatives.times:
            return 1, 1
        if self.negatives.input_type is InputType.PAIRWISE:
            return wanted, wanted
        return self.negatives.times, self.negatives.times + 1

    def paired(self, change, index, times=1):
        """Return ``(before, after)``; a target that is in both has the same negatives in both.

        A model that takes negatives gets ``times`` for each positive, as rows one after the other.
        """
        before = self.with_negatives(change.before, times, index, "request")
        if not self.negatives.times or not len(change.after):
            return before, change.after
        return before, self.negatives.like(change.after, before, change.kept, times)

    def context(self, change, index, times=1, limit=4096):
        """Return the requesters' retained training examples, at most ``limit``, and which share of them that is."""
        return self._drawn(self.dataset.examples_of(change.entities), limit, index, "context", times)

    def retained(self, n, index, times=1):
        """Return ``n`` (or fewer) retained training examples, drawn evenly, and which share of them that is."""
        drawn = self.retained_examples(n, index)
        batch = self.with_negatives(self.dataset.collate(drawn), times, index, "retained")
        return batch, max(len(drawn), 1) / max(self.n_train, 1)

    def retained_examples(self, n, index, name="retained"):
        """Return the numbers of ``n`` (or fewer) retained training examples, drawn evenly; ``None`` gives all."""
        if n is None or n >= self.n_train:
            return self.dataset.train_examples()
        return self.dataset.draw_examples(n, stream(self.config["seed"], "unlearn", index, name))

    def affected(self, change, hops, limit, index, times=1):
        """Return retained examples whose loss changes when the rows leave what the model derives from the data.

        Args:
            change: the request's.
            hops: how far to look in the graph, at most; the model's own ``reach`` may be less.
            limit: at most so many examples.
            index: the request's index.
            times: negatives for each positive.

        Returns:
            A batch, empty for a model whose losses do not depend on other people's rows, and which share of all
            affected examples within ``hops`` it is.
        """
        reach = self.model.reach
        if reach is None or not limit:
            return Interaction({}), 1.0
        return self._drawn(self.dataset.examples_near(change.rows, min(hops, reach)), limit, index, "affected", times)

    def curvature_sample(self, change, index, n, times=1):
        """Return retained examples that stand for all: batches, and the weight of each of their loss sums.

        A draw of a few from many would leave the rows of look-up tables that a request moves without curvature. So
        the requesters' own examples (at most 4096, with ``times`` negatives), those of others on the same items and
        the rest of the data (at most ``n`` of each) are drawn apart, each weighted to its number.
        """
        data, n_train = self.dataset, self.n_train
        own = data.examples_of(change.entities)
        linked = np.setdiff1d(data.examples_near(change.rows), own)
        others = np.setdiff1d(self.retained_examples(n, index), np.union1d(own, linked))
        strata = {
            "own": (own, len(own), 4096, times),
            "linked": (linked, len(linked), n, 1),
            "others": (others, n_train - len(own) - len(linked), n, 1),
        }
        batches, weights = [], []
        for name, (examples, size, most, wanted) in strata.items():
            if len(examples):
                negatives, rows = self.multiplicity(wanted)
                batches.append(self._drawn(examples, most, index, name, negatives)[0])
                weights.append(size / (min(len(examples), most) * rows))
        return batches, weights

    def _drawn(self, examples, limit, index, name, times):
        share = 1.0
        if len(examples) > limit:
            share = limit / len(examples)
            examples = stream(self.config["seed"], "unlearn", index, name).choice(examples, limit, replace=False)
        return self.with_negatives(self.dataset.collate(examples), times, index, name), share

    def with_negatives(self, batch, times, index, *name):
        """Return a batch with negatives drawn from the request's stream of that name (strings and numbers)."""
        return self.negatives.add(batch, stream(self.config["seed"], "unlearn", index, *name, "negatives"), times)
