"""Base classes of algorithms that unlearn a user attribute, such as gender, by changing user embeddings."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar, cast

import torch

from recbole.config import Config
from recbole.data import Dataset
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.model.user_views import UserView
from recbole.unlearning.algorithm import UnlearningAlgorithm
from recbole.unlearning.attribute_request import AttributeRequest
from recbole.unlearning.hyper import NoHyperParameters, ProtectHyper, ViewHyper
from recbole.unlearning.outcome import PHASES, NotApplied, Outcome, failures_as_outcomes
from recbole.unlearning.rank_margin import Gradients, RankMargin, through
from recbole.unlearning.request import Request
from recbole.utils import UserError, suggest
from recbole.utils.clock import Clock
from recbole.utils.deadline import Deadline

VIEWS = ("table", "propagated", "all")
"""Values of ``--protect_view``: in which matrices of user embeddings the attribute is hidden."""

REGULARISERS = ("rank_margin", "l2", "none")
"""Values of ``--protect_regulariser``: which penalty keeps the recommendations as they were."""


class AttributeAlgorithm(UnlearningAlgorithm):
    """Base class of algorithms that unlearn an attribute of users, such as gender. No interaction is forgotten.

    The users whose attribute is to be unlearned are called protected.

    Attributes:
        views: the matrices of user embeddings from which the attribute is to be unlearned: name to
            :class:`~recbole.model.user_views.UserView`, a matrix with one row per user, such as the embedding table or
            the embeddings that a graph propagation computes from it.
    """

    kinds: ClassVar[tuple[str, ...]] = ("attribute",)
    Hyper: ClassVar[type[NoHyperParameters]] = ViewHyper
    hyper: ViewHyper

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.views = chosen_views(model, dataset, self.hyper.protect_view)

    @classmethod
    def check_class(cls, model_class: type[AbstractRecommender]) -> None:
        """Raise an error for a model class without user embeddings.

        Raises:
            UserError: the class does not define ``user_views``.
        """
        if model_class.user_views is AbstractRecommender.user_views:
            raise _no_view(cls.name, model_class.__name__)

    def check(self, model: AbstractRecommender) -> None:
        """Raise an error for a model without user embeddings, or one that is not trained by gradient descent.

        Raises:
            UserError: the model has no user embeddings, or is not trainable.
        """
        if not model.trainable or not model.user_views():
            raise _no_view(self.name, type(model).__name__)

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return the names of the parameters behind all of the model's user views (matrices of user embeddings)."""
        return tuple(dict.fromkeys(name for view in model.user_views().values() for name in view.parameters))


def _no_view(algorithm: str, model: str) -> UserError:
    """Return the error for a model without user embeddings, given the names of algorithm and model."""
    return UserError(
        f"{algorithm} changes a trained model's user embeddings, and {model} has none (no user view); choose another "
        "--model or --unlearning_algorithm"
    )


def chosen_views(model: AbstractRecommender, dataset: Dataset, which: str) -> dict[str, UserView]:
    """Return the matrices of user embeddings (views) from which a run unlearns the attribute: name to view.

    Args:
        model: a model.
        dataset: the data of the model.
        which: value of ``--protect_view``: ``all`` for all views, ``table`` for the first view that is an embedding
            table, ``propagated`` for the first view that is computed from parameters.

    Raises:
        UserError: the value is unknown, or the model has no view of the requested kind.
    """
    if which not in VIEWS:
        raise UserError(f"--protect_view should be {', '.join(VIEWS)}, not '{which}'{suggest(which, VIEWS)}")
    views = model.user_views(dataset)
    if which == "all":
        return views
    wanted = {name: view for name, view in views.items() if view.table == (which == "table")}
    if not wanted:
        raise UserError(
            f"--protect_view {which}: {type(model).__name__} has no such user view; it has {', '.join(views)}; use all"
        )
    first = next(iter(wanted))
    return {first: wanted[first]}


class ProtectionAlgorithm(AttributeAlgorithm):
    """Base class of algorithms that change user embeddings by steps of Adam so that they reveal less of an attribute.

    Subclasses implement :meth:`objective`, which measures how well the groups of the attribute can be told apart in a
    matrix of user embeddings (view). The loss is the objective, summed over the chosen views, plus ``protect_weight``
    times a regulariser. The regulariser preserves the order of the original model's recommendations
    (:mod:`recbole.unlearning.rank_margin`), or penalises the squared distance from the original parameters. Each step
    uses all protected users. With several attributes, the loss for a request contains only the attribute of this
    request, not those of earlier ones. Only the parameters behind the views change; if all chosen views are embedding
    tables, only the rows of the protected users. If the time or the memory runs out before the last step, or a number
    is not finite, the parameters get back the values that they had before the call of :meth:`forget`.

    Attributes:
        moved: name to parameter, for the parameters that change.
        original: name to the values of these parameters in the original model, before all requests; ``None`` unless the
            regulariser is ``l2``.
        lists: the regulariser ``rank_margin``; ``None`` with another regulariser or with a weight of 0.

    Raises:
        UserError: ``--protect_regulariser`` or ``--protect_view`` is unknown, or the model has no such view.
    """

    Hyper = ProtectHyper
    hyper: ProtectHyper

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        names = dict.fromkeys(name for view in self.views.values() for name in view.parameters)
        self.moved = {name: model.get_parameter(name) for name in names}
        said = self.hyper.protect_regulariser
        if said not in REGULARISERS:
            raise UserError(f"--protect_regulariser should be one of {', '.join(REGULARISERS)}, not '{said}'")
        kept = said if self.hyper.protect_weight else "none"
        self.original = {name: p.detach().clone() for name, p in self.moved.items()} if kept == "l2" else None
        self.lists = RankMargin(model.eval(), dataset) if kept == "rank_margin" else None

    @abstractmethod
    def objective(
        self, view: str, vectors: torch.Tensor, groups: Sequence[torch.Tensor], at: tuple[int, int]
    ) -> tuple[float, torch.Tensor]:
        """Return a measure of how well the groups of an attribute can be told apart by user embeddings.

        Args:
            view: name of the matrix of user embeddings.
            vectors: float [n_users, d], this matrix, without an autograd graph.
            groups: one array of user ids (int64) for each group: its protected users. Two groups or more, none empty.
            at: the index of the request and the number of the step, with which random generators are to be seeded.

        Returns:
            The value to minimise, and its gradient with respect to ``vectors``, float [n_users, d].
        """

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Change the embeddings of the protected users, for one request after another.

        Args:
            requests: attribute requests to answer together, in their order.
            deadline: the time limit for these requests.

        Returns:
            The outcome for all of these requests. Unless its ``status`` is ``applied``, no parameter has changed.
        """
        clock = Clock(self.device, *PHASES)
        before = {name: parameter.detach().clone() for name, parameter in self.moved.items()}
        outcome = Outcome("skipped")
        self.work: dict[str, Any] = {}
        try:
            self.model.eval()
            with failures_as_outcomes():
                for request in requests:
                    self._protect(cast(AttributeRequest, request), deadline)
            clock.lap("solve")
            outcome = self._changed(before)
        except NotApplied as reason:
            outcome = Outcome(reason.status, reason.reason)
        finally:
            for parameter in self.moved.values():
                parameter.grad = None
            if outcome.status != "applied":
                self._put(before)
        clock.lap("apply")
        outcome.seconds, outcome.work = clock.phases, dict(self.work)
        if outcome.status == "skipped":
            outcome.idle = {request.entity: outcome.reason for request in requests}
        return outcome

    def _put(self, values: Gradients) -> None:
        """Set the parameters in ``moved`` to the given values (by name), in place."""
        with torch.no_grad():
            for name, parameter in self.moved.items():
                parameter.copy_(values[name])

    def _changed(self, before: Gradients) -> Outcome:
        """Return the outcome, ``applied`` or (if no parameter has changed) ``skipped``.

        Args:
            before: values of the parameters in ``moved`` before the requests, by name.
        """
        change = sum(_square(p.detach() - before[name]) for name, p in self.moved.items()) ** 0.5
        size = sum(map(_square, before.values())) ** 0.5
        if change == 0:
            return Outcome("skipped", "the steps change no parameter")
        return Outcome("applied", relative_change=change / max(size, 1e-30))

    def _protect(self, request: AttributeRequest, deadline: Deadline) -> None:
        """Change the parameters by ``protect_steps`` steps of Adam for one request, in place.

        Raises:
            NotApplied: the time is up (``timeout``), a number is not finite (``diverged``), or the protected users
                belong to fewer than two groups (``skipped``).
        """
        groups = [torch.from_numpy(people).to(self.device) for people in request.groups]
        if len(groups) < 2:
            raise NotApplied("skipped", "the protected users belong to fewer than two groups")
        only = torch.from_numpy(request.protected).to(self.device)
        people = only if all(view.table for view in self.views.values()) else None
        optimizer = torch.optim.Adam(self.moved.values(), lr=self.hyper.protect_rate)
        values: list[float] = []
        for step in range(self.hyper.protect_steps):
            if deadline.passed():
                raise NotApplied("timeout", f"time was up after {step} of {self.hyper.protect_steps} steps")
            optimizer.zero_grad(set_to_none=True)
            value, gradients = self._gradients(groups, (request.index, step))
            kept, more = self._regulariser(people)
            values.append(value + self.hyper.protect_weight * kept)
            for name, parameter in self.moved.items():
                parameter.grad = gradients[name]
                if name in more:
                    parameter.grad.add_(more[name], alpha=self.hyper.protect_weight)
            del gradients, more
            optimizer.step()
            if not math.isfinite(values[-1]):
                break
        if not math.isfinite(values[-1]) or not all(bool(p.isfinite().all()) for p in self.moved.values()):
            raise NotApplied("diverged", f"a value is not finite after {len(values)} steps")
        self.work |= {"objective_first": values[0], "objective_last": values[-1], "n_protected": len(request.protected)}

    def _gradients(self, groups: Sequence[torch.Tensor], at: tuple[int, int]) -> tuple[float, Gradients]:
        """Return the objective, summed over the chosen views, and its gradients: parameter name to gradient.

        ``groups`` and ``at`` are as in :meth:`objective`.
        """
        with torch.enable_grad():
            made = tuple(vectors() for vectors in self._vectors)
        named = zip(self.views, made, strict=True)
        found = [self.objective(view, vectors.detach(), groups, at) for view, vectors in named]
        return sum(value for value, _ in found), through(made, tuple(gradient for _, gradient in found), self.moved)

    @cached_property
    def _vectors(self) -> list[Callable[[], torch.Tensor]]:
        """One function for each chosen view, which returns its matrix, float [n_users, d], with an autograd graph.

        Whatever does not depend on the parameters in ``moved`` is computed only once.
        """
        return [view.vectors if view.settled is None else view.settled() for view in self.views.values()]

    def _regulariser(self, people: torch.Tensor | None) -> tuple[float, Gradients]:
        """Return the regulariser's value, without the weight, and its gradients: parameter name to gradient.

        Args:
            people: int64 ids of the users whose recommendations ``rank_margin`` preserves; ``None`` for all users. The
                other regularisers ignore it.
        """
        if self.lists is not None:
            return self.lists.value_and_gradients(self.moved, people)
        if self.original is None:
            return 0.0, {}
        moved = {name: parameter.detach() - self.original[name] for name, parameter in self.moved.items()}
        return sum(map(_square, moved.values())), {name: 2 * difference for name, difference in moved.items()}


def _square(values: torch.Tensor) -> float:
    """Return the sum of squares of all elements, added up in double precision."""
    return float(values.square().sum(dtype=torch.float64))
