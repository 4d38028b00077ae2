"""Base classes of all unlearning algorithms, and of those that compute one parameter update per request."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from recbole.config import Config
from recbole.data import Dataset
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.case import Case, Workbench
from recbole.unlearning.hyper import HyperParameters, NoHyperParameters, hyperparameter
from recbole.unlearning.outcome import PHASES, NotApplied, Outcome, failures_as_outcomes
from recbole.unlearning.request import Request
from recbole.unlearning.second_order.subspace import Subspace, trained
from recbole.unlearning.unread import InitialValues, Readers
from recbole.utils import UserError
from recbole.utils.clock import Clock
from recbole.utils.deadline import Deadline

__all__ = [
    "Case",
    "HyperParameters",
    "NoHyperParameters",
    "NotApplied",
    "Outcome",
    "Step",
    "StepAlgorithm",
    "UnlearningAlgorithm",
    "hyperparameter",
]


class UnlearningAlgorithm(ABC):
    """Base class of unlearning algorithms. An instance changes one trained model, request by request.

    To add an algorithm, write a subclass with a ``name``, a ``Hyper`` dataclass and a :meth:`forget` method. It goes
    into a module in ``algorithms/``, or is offered by another distribution's entry point
    (:data:`recbole.utils.plugins.ALGORITHMS`). Most algorithms extend :class:`StepAlgorithm`. Flags, help texts and
    configuration keys are generated from the fields of ``Hyper``.

    Args:
        config: the run's configuration.
        model: the trained model, which is changed in place.
        dataset: the data, with a mask of the forgotten rows (interactions); :meth:`forget` adds rows to it, in place.

    Attributes:
        name: the algorithm's name on the command line.
        Hyper: the dataclass of its hyper-parameters.
        bench: the model, the data and the sampler of negatives, see :class:`~recbole.unlearning.case.Workbench`.
        hyper: the hyper-parameters' values, an instance of ``Hyper``.
        serves_ensembles: True if the algorithm works only on ensembles, False if it works only on single models.
        kinds: the kinds of requests that the algorithm can answer: ``rows`` (to forget interactions) or ``attribute``
            (to unlearn an attribute of users, such as gender).
        puts_off: True if :meth:`forget` only records requests, with the status ``applied``, and :meth:`complete`
            changes the model later. If :meth:`complete` fails, the status of these requests becomes ``diverged``.

    Raises:
        UserError: the algorithm does not apply to the model, or a hyper-parameter is out of bounds.
    """

    name: ClassVar[str] = ""
    Hyper: ClassVar[type[NoHyperParameters]] = NoHyperParameters
    hyper: NoHyperParameters
    serves_ensembles: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, ...]] = ("rows",)
    puts_off = False

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        self.check_class(type(model))
        self.check(model)
        self.config, self.model, self.dataset = config, model, dataset
        self.bench = Workbench(config, model, dataset)
        self.hyper = self.Hyper.of(config)

    @property
    def device(self) -> torch.device:
        """The device of the model's parameters."""
        return self.bench.device

    @classmethod  # noqa: B027 - most algorithms apply to all classes
    def check_class(cls, model_class: type[AbstractRecommender]) -> None:
        """Raise an error if the algorithm does not apply to a model class. Called before data and model are loaded.

        Raises:
            UserError: the algorithm does not apply; the message says why.
        """

    def check(self, model: AbstractRecommender) -> None:
        """Raise a ``UserError`` that says why if the algorithm does not apply to the model."""
        if not model.trainable or not self.moves(model):
            raise UserError(
                f"{self.name} changes parameters trained by gradient descent, and {type(model).__name__} has none; use "
                "--unlearning_algorithm exact, which is for models that are computed from the data in closed form"
            )

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return the names of the parameters that the algorithm may change; by default all trained parameters."""
        return trained(model)

    @abstractmethod
    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mark the interactions named in the requests as forgotten, then change the model so that it forgets them.

        Args:
            requests: one request, or several that are answered together, in their order. The algorithm never sees
                later requests.
            deadline: the time limit for these requests.

        Returns:
            The outcome. The parameters are unchanged unless its ``status`` is ``applied`` or ``reinitialised``.
        """

    def answer_on_examples(
        self, requests: Sequence[Request], deadline: Deadline, answer: Callable[[Case, Clock], Outcome]
    ) -> Outcome:
        """Mark the requests' rows as forgotten, and call ``answer`` if a training example contained one of them.

        Args:
            requests, deadline: the requests, and their time limit.
            answer: function that changes the model and returns the outcome, called after the rows were marked. It calls
                ``clock.lap(phase)`` at the end of each phase (``prepare``, ``solve``, ``apply``). It may raise
                ``NotApplied``, a memory error or an overflow, and must then leave the model unchanged.

        Returns:
            The outcome of ``answer`` with the seconds of each phase (``seconds``), the requests that needed no change
            (``idle``) and the numbers of affected examples (``n_examples``); ``skipped`` without a call of ``answer``.
        """
        clock = Clock(self.device, *PHASES)
        change = self.bench.forget(np.concatenate([request.rows for request in requests]))
        case = Case(tuple(requests), change, deadline, self.bench)
        clock.lap("prepare")
        if not len(change.before):
            return Outcome("skipped", Outcome.NOTHING, seconds=clock.phases, idle=case.idle())
        try:
            with failures_as_outcomes():
                outcome = answer(case, clock)
        except NotApplied as reason:
            outcome = Outcome(reason.status, self._cause(reason))
            clock.lap("solve")
        outcome.seconds, outcome.idle = clock.phases, case.idle()
        outcome.n_examples = (len(change.before), len(change.after))
        return outcome

    def _cause(self, reason: NotApplied) -> str:
        """Return as text why a request was not applied.

        If the status is ``diverged`` and the model has a parameter that is not finite, the text names this parameter:
        nothing was applied, so it was not finite before the request either. Otherwise it is the text of ``reason``.
        """
        if reason.status == "diverged":
            for name, parameter in self.model.named_parameters():
                if not torch.isfinite(parameter).all():
                    return f"a parameter of the model was NaN or infinite already before the request: {name}"
        return reason.reason

    def complete(self) -> bool:
        """Do the work that :meth:`forget` postponed, before a checkpoint is saved, and return whether there was any."""
        return False

    def work_beside(self, stem: Path) -> None:  # noqa: B027 - most algorithms store nothing
        """From now on, store intermediate results in files, and use the files that an interrupted run has left.

        The default does nothing, for algorithms whose requests are quick.

        Args:
            stem: beginning of the paths of these files.
        """

    def finish(self) -> None:  # noqa: B027
        """Delete the files that :meth:`work_beside` announced. Called when all results of the run are written."""

    def costs(self) -> dict[str, Any]:
        """Return costs other than the seconds per request, to be stored with the results: name to JSON value."""
        return {}

    def memory(self) -> dict[str, Any]:
        """Return what a snapshot must contain, besides the model and the mask, for an interrupted run to continue.

        Values are numbers, strings, lists, dictionaries and tensors. Most algorithms return an empty dictionary.
        """
        return {}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Continue an interrupted run: restore the model, the mask of forgotten rows and the algorithm's own state.

        Args:
            state_dict: the model's parameters and buffers when the snapshot was taken.
            forgotten: bool [rows of the log], True for the rows (interactions) that were forgotten at that time.
            memory: what :meth:`memory` returned at that time; ``None`` if the algorithm has no state of its own.
        """
        self.model.load_state_dict(state_dict)
        self.bench.restore(forgotten)

    def release(self, checkpoint: int) -> dict[str, Any]:
        """Return the content of the model file that is saved at a checkpoint (a point in the sequence of requests).

        An algorithm may add noise to this copy. The model itself does not change, and later requests continue from it.

        Args:
            checkpoint: number of the checkpoint, from 0.

        Returns:
            A dictionary with ``state_dict`` and ``other_parameter``, as in RecBole's model files, and ``certificate``:
            the (epsilon, delta) guarantee of unlearning as JSON values, ``None`` if the algorithm gives none.
        """
        return {
            "state_dict": self.model.state_dict(),
            "other_parameter": self.model.other_parameter(),
            "certificate": None,
        }


@dataclass
class Step:
    """A parameter update that has been computed but not applied.

    Attributes:
        subspace: the parameters (or table rows) to update, which it arranges as one vector.
        delta: float [dimension of the subspace], the vector to add to these parameters.
        work: counts of the work done, such as ``n_hvp`` (Hessian-vector products), for the log line of the request.
    """

    subspace: Subspace
    delta: torch.Tensor
    work: dict[str, Any]


class StepAlgorithm(UnlearningAlgorithm):
    """Base class of algorithms that compute one :class:`Step` per request; subclasses implement :meth:`solve`.

    After a request, some table rows may not be read by any retained example, such as the embedding of a user who
    forgets everything. The step does not change these rows. They are set to the values that they would have in a model
    trained without the forgotten examples (see :mod:`recbole.unlearning.unread`).
    """

    Hyper: ClassVar[type[HyperParameters]] = HyperParameters
    hyper: HyperParameters

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.bench.readers = Readers(model, dataset, self.bench.negatives, self.moves(model))

    @cached_property
    def initial(self) -> InitialValues:
        """Computes the new values of table rows that no retained training example reads any more."""
        return InitialValues(self.config, self.model, self.dataset)

    def observe(self, case: Case) -> Any:
        """Compute whatever needs the model before it is rebuilt: its graph still has the forgotten interactions.

        Returns:
            Any value, by default ``None``, which :meth:`solve` receives after the model was rebuilt.

        Raises:
            NotApplied: the time is up, or the step diverged.
        """

    @abstractmethod
    def solve(self, case: Case, observed: Any) -> Step:
        """Return the parameter update that answers one or several requests, without applying it.

        Args:
            case: the requests, the affected training examples before and after forgetting, and the deadline.
            observed: what :meth:`observe` returned.

        Raises:
            NotApplied: the time is up, or the step diverged.
        """

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mark the requests' rows as forgotten, then compute the parameter update and apply it if it is finite."""
        return self.answer_on_examples(requests, deadline, self._answer)

    def _answer(self, case: Case, clock: Clock) -> Outcome:
        try:
            case.check_time("before it began")
            observed = self.observe(case)
        finally:
            clock.lap("solve")
            self.bench.rebuild()
            clock.lap("prepare")
        reset = case.reset(self.moves(self.model))
        if reset and len(reset) + len(case.idle()) == len(case.requests):
            outcome, initial = Outcome("reinitialised"), self._initial()
        else:
            step = self.solve(case, observed)
            clock.lap("solve")
            initial = self._initial()  # allocated before the step is applied: nothing after it can run out of memory
            outcome = self._apply(step)
        if outcome.status == "applied":
            outcome.reset = reset
        self._reinitialise(outcome, initial)
        clock.lap("apply")
        return outcome

    def _apply(self, step: Step) -> Outcome:
        """Add a step, clipped to ``max_norm``, to the parameters, except in rows that no retained example reads.

        Raises ``NotApplied`` if the step is not finite. The outcome is not ``applied`` if no parameter has changed.
        """
        unread = self.bench.unread
        step.subspace.clear(step.delta, unread)
        if not torch.isfinite(step.delta).all():
            raise NotApplied("diverged", "the step is not finite")
        size = float(step.delta.double().norm())
        if self.hyper.max_norm is not None and size > self.hyper.max_norm:
            step.delta *= self.hyper.max_norm / size
            step.work["clipped_from"] = size
            size = self.hyper.max_norm
        relative = size / max(step.subspace.norm(), 1e-30)
        if unread and relative < torch.finfo(step.delta.dtype).eps:
            return Outcome("reinitialised", work=step.work)
        before = step.subspace.values()
        try:
            step.subspace.add(step.delta)
            same = all(torch.equal(old, new) for old, new in zip(before, step.subspace.values(), strict=True))
        except BaseException:
            step.subspace.put(before)
            raise
        if same:
            return Outcome("skipped", "the step changes no parameter", work=step.work)
        return Outcome("applied", relative_change=relative, work=step.work)

    def _initial(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Return the rows that no retained example reads any more, and their new values, without changing them.

        The result maps a parameter's name to a tuple of row indices (int64 [n]) and values (float [n, ...]).
        """
        found = {}
        for name, rows in self.bench.unread.items():
            parameter = self.model.get_parameter(name)
            found[name] = rows.to(parameter.device), self.initial.of(name, rows).to(parameter)
        return found

    def _reinitialise(self, outcome: Outcome, initial: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Write the values from :meth:`_initial` into the parameters, and count the rows in the outcome."""
        with torch.no_grad():
            for name, (rows, values) in initial.items():
                self.model.get_parameter(name)[rows] = values
                outcome.reinitialised[name] = len(rows)
