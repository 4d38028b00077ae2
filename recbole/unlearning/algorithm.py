"""What every unlearning algorithm is: a step that is worked out aside, checked, and then put in place."""

import time
from dataclasses import dataclass, field, fields
from typing import ClassVar

import numpy as np
import torch

from recbole.data import Negatives
from recbole.utils import stream


@dataclass(frozen=True)
class HyperParameters:
    """Base of the algorithms' hyper-parameters.

    A field's name is its command-line flag and configuration key; ``metadata["help"]`` is its help.
    """

    max_norm: float | None = field(
        default=None, metadata={"help": "largest Euclidean norm of one request's parameter change (default: no limit)"}
    )


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


class UnlearningAlgorithm:
    """Changes a trained model so that it forgets, request by request.

    To add one: a module in this folder with a subclass that has a ``name``, a ``Hyper`` dataclass and a
    :meth:`solve`. Flags, help, configuration keys and documentation follow from those.

    Args:
        config: the run's configuration.
        model: the model to change, in place.
        dataset: the data under the current mask; :meth:`forget` sets its bits.
    """

    name: ClassVar[str] = ""
    Hyper: ClassVar[type] = HyperParameters

    def __init__(self, config, model, dataset):
        self.config, self.model, self.dataset = config, model, dataset
        values = {f.name: config[f.name] for f in fields(self.Hyper) if config[f.name] is not None}
        self.hyper = self.Hyper(**values)
        self.negatives = Negatives(config, dataset, model.input_type)
        self.n_train = len(dataset.train_examples())

    def solve(self, change, index, deadline):
        """Work out the change of parameters for one request.

        Args:
            change: :class:`~recbole.data.Change`: the examples as they were and as they are.
            index: the request's index, which keys its random streams.
            deadline: function that says whether the request's time is up.

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
        change = self.dataset.forget(rows)
        self.n_train -= len(change.before) - len(change.after)
        if self.negatives.times:
            self.negatives.sampler.pairs.discard(self.dataset.log.user[change.rows], self.dataset.log.item[change.rows])
        sizes = (len(change.before), len(change.after))
        if not sizes[0]:
            seconds = {"prepare": time.perf_counter() - started}
            return Outcome("skipped", "no training example", seconds=seconds)
        self.model.rebuild(self.dataset)
        prepared = time.perf_counter()
        out_of_time = (lambda: False) if budget is None else (lambda: time.perf_counter() - started > budget)
        try:
            step = self.solve(change, index, out_of_time)
            solved = time.perf_counter()
            outcome = self._apply(step)
        except NotApplied as reason:
            solved = time.perf_counter()
            outcome = Outcome(reason.status, reason.reason)
        ended = time.perf_counter()
        outcome.seconds = {"prepare": prepared - started, "solve": solved - prepared, "apply": ended - solved}
        outcome.n_examples = sizes
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

    def paired(self, change, index, times=1):
        """Return ``(before, after)``; a target that is in both has the same negatives in both.

        A model that takes negatives gets ``times`` for each positive, as rows one after the other.
        """
        before = self._with_negatives(change.before, times, index, "request")
        if not self.negatives.times or not len(change.after):
            return before, change.after
        return before, self.negatives.like(change.after, before, change.kept, times)

    def context(self, change, index, times=1, limit=4096):
        """Return the requesters' retained training examples, at most ``limit``, and which share of them that is."""
        examples = self.dataset.examples_of(change.entities)
        share = 1.0
        if len(examples) > limit:
            share = limit / len(examples)
            examples = stream(self.config["seed"], "unlearn", index, "context").choice(examples, limit, replace=False)
        return self._with_negatives(self.dataset.collate(examples), times, index, "context"), share

    def retained(self, n, index, times=1):
        """Return ``n`` (or fewer) retained training examples, drawn evenly, and which share of them that is."""
        drawn = self.dataset.draw_examples(n, stream(self.config["seed"], "unlearn", index, "retained"))
        batch = self._with_negatives(self.dataset.collate(drawn), times, index, "retained")
        return batch, max(len(drawn), 1) / max(self.n_train, 1)

    def _with_negatives(self, batch, times, index, name):
        return self.negatives.add(batch, stream(self.config["seed"], "unlearn", index, name, "negatives"), times)
