"""What every unlearning algorithm is: a step that is worked out aside, checked, and then put in place."""

import time
from dataclasses import dataclass, field, fields
from typing import ClassVar

import numpy as np
import torch

from recbole.unlearning.request_data import RequestData
from recbole.unlearning.second_order.curvature import trained
from recbole.utils import UserError
from recbole.utils.device import now


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

    max_norm: float | None = setting(
        None, "largest Euclidean norm of one request's parameter change (default: no limit)", above=0
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
    """How a request, or a batch of them, ended and what it cost.

    Attributes:
        status: ``applied``, ``skipped``, ``timeout`` or ``diverged``.
        reason: why it is not ``applied``.
        relative_change: norm of the parameter change over the norm of the parameters (rows) that may change.
        seconds: by phase: ``prepare``, ``solve``, ``apply``.
        n_examples: training examples that contained a forgotten row, and how many of them are left.
        work: what the algorithm counted: ``n_hvp``, ``residual`` and the like.
        touched: int64, the entities of whom a training example contained a forgotten row; others had nothing to do.
    """

    status: str
    reason: str = ""
    relative_change: float = 0.0
    seconds: dict = field(default_factory=dict)
    n_examples: tuple = (0, 0)
    work: dict = field(default_factory=dict)
    touched: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)

    NOTHING: ClassVar[str] = "no training example"


class NotApplied(Exception):
    """Raised by an algorithm to leave the model as it is; ``status`` is ``timeout``, ``diverged`` or ``skipped``."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass
class Step:
    """A change of parameters that has been worked out but not made.

    Attributes:
        subspace: :class:`~recbole.unlearning.second_order.curvature.Subspace` that it lives in.
        delta: flat vector to add.
        work: what it cost.
    """

    subspace: object
    delta: torch.Tensor
    work: dict


class _Laps:
    """Adds up seconds by phase, each until the device has done its work."""

    def __init__(self, started, device):
        self.device, self.last, self.seconds = device, started, dict.fromkeys(("prepare", "solve", "apply"), 0.0)

    def lap(self, phase):
        wall = now(self.device)
        self.seconds[phase] += wall - self.last
        self.last = wall


class UnlearningAlgorithm(RequestData):
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
        self.check(model)
        super().__init__(config, model, dataset)
        values = {f.name: config[f.name] for f in fields(self.Hyper) if config[f.name] is not None}
        self.hyper = self.Hyper(**values)

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
        clock = _Laps(started, next(self.model.parameters()).device)
        change = self.dataset.forget(rows)
        self.n_train -= len(change.before) - len(change.after)
        self.negatives.forget(change.rows)
        sizes = (len(change.before), len(change.after))
        clock.lap("prepare")
        if not sizes[0]:
            return Outcome("skipped", Outcome.NOTHING, seconds=clock.seconds)
        out_of_time = (lambda: False) if budget is None else (lambda: time.perf_counter() - started >= budget)
        try:
            outcome = self.answer(change, index, out_of_time, clock)
        except NotApplied as reason:
            outcome = Outcome(reason.status, self._cause(reason))
            clock.lap("solve")
        outcome.seconds, outcome.n_examples = clock.seconds, sizes
        outcome.touched = np.unique(change.before[self.dataset.uid_field].numpy())
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
            if out_of_time():
                raise NotApplied("timeout", "time was up before it began")
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
        rows = np.flatnonzero(forgotten & ~self.dataset.forgotten)
        self.dataset.forgotten[rows] = True
        self.negatives.forget(rows)
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
