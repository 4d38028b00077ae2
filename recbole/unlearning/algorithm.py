"""What every unlearning algorithm is, and what most are: a step, worked out aside, checked, and then put in place."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
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
    """Changes a trained model so that it forgets, request by request.

    To add one: a module in ``algorithms/``, or an entry point of another distribution
    (:data:`recbole.utils.plugins.ALGORITHMS`), with a subclass that has a ``name``, a ``Hyper`` dataclass and a
    :meth:`forget`; most are a :class:`StepAlgorithm`. Flags, help and configuration keys follow from those.

    Args:
        config: the run's configuration.
        model: the model to change, in place.
        dataset: the data under the current mask; :meth:`forget` sets its bits.

    Attributes:
        bench: the model and the data under the current mask, with what is counted of them.
        hyper: the hyper-parameters' values.
        serves_ensembles: whether it is for ensembles, and for nothing else.
        kinds: what the requests that it answers may name: ``rows`` of the log, or an ``attribute`` of people.
        puts_off: whether what :meth:`forget` says is applied is done by :meth:`complete`.

    Raises:
        UserError: when the algorithm means nothing on the model, or a hyper-parameter is out of bounds.
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
        values = {f.name: config[f.name] for f in fields(self.Hyper) if config[f.name] is not None}
        self.hyper = self.Hyper(**values)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.bench.device

    @classmethod  # noqa: B027 - most have nothing to refuse
    def check_class(cls, model_class: type[AbstractRecommender]) -> None:
        """Refuse a class of models that the algorithm means nothing on; asked before anything is loaded.

        Raises:
            UserError: with the reason.
        """

    def check(self, model: AbstractRecommender) -> None:
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
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return the names of the parameters that the algorithm may change; no other is touched."""
        return trained(model)

    @abstractmethod
    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Forget what is asked for: mask it, then change the model.

        Args:
            requests: one, or several that are answered together, in their order; nothing is known of later ones.
            deadline: until when to end.

        Returns:
            :class:`Outcome`; unless it is ``applied`` or ``reinitialised`` the parameters are as they were.
        """

    def answer_on_examples(
        self, requests: Sequence[Request], deadline: Deadline, answer: Callable[[Case, Clock], Outcome]
    ) -> Outcome:
        """Mask the requests' rows and, if a training example held one of them, have the model changed.

        Args:
            requests, deadline: as of :meth:`forget`.
            answer: changes the model for a case whose bits are set, and returns how that ended. It may raise
                ``NotApplied``, or fail for want of memory or of larger numbers; the model must then be as it was. It
                ends the laps of the phases on the clock that it gets.

        Returns:
            :class:`Outcome`, complete.
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
        """Return why a step was not made; what an algorithm met may go back to parameters that were broken before."""
        if reason.status == "diverged":
            for name, parameter in self.model.named_parameters():
                if not torch.isfinite(parameter).all():
                    return f"the model's parameters are not finite, and were not before the request: {name}"
        return reason.reason

    def complete(self) -> bool:
        """Do what :meth:`forget` has put off, if anything, and return whether there was; called before a checkpoint."""
        return False

    def work_beside(self, stem: Path) -> None:  # noqa: B027 - most do no work that a kill should not undo
        """Take up, and keep, unfinished work of a request in files whose paths begin with a stem."""

    def finish(self) -> None:  # noqa: B027
        """Remove the files of :meth:`work_beside`: all that depends on them is written."""

    def costs(self) -> dict[str, Any]:
        """Return what a record tells of the costs beside seconds per request; plain values."""
        return {}

    def memory(self) -> dict[str, Any]:
        """Return what the algorithm knows of earlier requests, beside parameters and mask, for the snapshot.

        Plain values, lists, dictionaries and tensors.
        """
        return {}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Take up a snapshot.

        Args:
            state_dict: the parameters.
            forgotten: bool [len(log)], the mask of what had been forgotten by then.
            memory: what :meth:`memory` returned.
        """
        self.model.load_state_dict(state_dict)
        self.bench.restore(forgotten)

    def release(self, checkpoint: int) -> dict[str, Any]:
        """Return what is saved of the model at a checkpoint (from 0): ``state_dict`` and ``other_parameter``.

        And ``certificate``: of an algorithm that gives a guarantee, what is guaranteed (plain values), else None. The
        model itself stays as it is: the requests after the checkpoint start from it.
        """
        return {
            "state_dict": self.model.state_dict(),
            "other_parameter": self.model.other_parameter(),
            "certificate": None,
        }


@dataclass
class Step:
    """A change of parameters that has been worked out but not made.

    Attributes:
        subspace: that it lives in.
        delta: flat vector to add.
        work: what it cost.
    """

    subspace: Subspace
    delta: torch.Tensor
    work: dict[str, Any]


class StepAlgorithm(UnlearningAlgorithm):
    """An algorithm that works out one :class:`Step` for each case, aside; to add one takes a :meth:`solve`.

    Rows that nothing reads any more, of the parameters that the algorithm moves, take no part in the step: they get
    the values of a model that was trained without their readers (:mod:`recbole.unlearning.unread`).
    """

    Hyper: ClassVar[type[HyperParameters]] = HyperParameters
    hyper: HyperParameters

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.bench.readers = Readers(model, dataset, self.bench.negatives, self.moves(model))

    @cached_property
    def initial(self) -> InitialValues:
        """What rows get that nothing reads any more."""
        return InitialValues(self.config, self.model, self.dataset)

    def observe(self, case: Case) -> Any:
        """Look at the model while what it derives from the data (a graph) still holds what is to be forgotten.

        Whatever this returns is given to :meth:`solve`, which comes after the model's ``rebuild``.

        Raises:
            NotApplied: as of :meth:`solve`.
        """

    @abstractmethod
    def solve(self, case: Case, observed: Any) -> Step:
        """Work out the change of parameters for a case.

        Args:
            case: the requests, the examples as they were and as they are, and the deadline.
            observed: what :meth:`observe` returned.

        Raises:
            NotApplied: when the time is up or the step diverged.
        """

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mask the requests' rows, work out the step, check it, and put it in place."""
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
            initial = self._initial()  # made before anything is put in place: what follows takes no memory
            outcome = self._apply(step)
        if outcome.status == "applied":
            outcome.reset = reset
        self._reinitialise(outcome, initial)
        clock.lap("apply")
        return outcome

    def _apply(self, step: Step) -> Outcome:
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
        """Return the rows that nothing reads any more, by parameter, and what they are set to; all of it aside."""
        found = {}
        for name, rows in self.bench.unread.items():
            parameter = self.model.get_parameter(name)
            found[name] = rows.to(parameter.device), self.initial.of(name, rows).to(parameter)
        return found

    def _reinitialise(self, outcome: Outcome, initial: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Set the rows that nothing reads any more, and note in the outcome how many they are."""
        with torch.no_grad():
            for name, (rows, values) in initial.items():
                self.model.get_parameter(name)[rows] = values
                outcome.reinitialised[name] = len(rows)
