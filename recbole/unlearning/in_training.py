"""Base classes of methods that hide a user attribute by training a new model: not unlearning, but a comparison."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

import recbole
from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.data.attributes import UserAttribute
from recbole.model.abstract_recommender import AbstractRecommender, GeneralRecommender
from recbole.model.user_views import UserView
from recbole.trainer.learn import learn, new_model
from recbole.trainer.resume import ResumeFile, fingerprint
from recbole.trainer.state import Run, State
from recbole.unlearning.attribute_request import AttributeRequest
from recbole.unlearning.outcome import PHASES, Outcome
from recbole.unlearning.protection import AttributeAlgorithm, chosen_views
from recbole.unlearning.request import Request
from recbole.unlearning.second_order.subspace import trained
from recbole.utils import ModelType, UserError
from recbole.utils.clock import Clock
from recbole.utils.deadline import Deadline

Labelled = dict[str, torch.Tensor]
"""Attribute name to the group number of every user, int64 [n_users]; -1 for users who are not protected."""


class InTrainingAlgorithm(AttributeAlgorithm):
    """Base class of methods that train a model from scratch with a penalty on the attribute added to the loss.

    Subclasses implement :meth:`penalty`. This is not unlearning, because the model that received the requests (the base
    model) is discarded. It shows what protecting an attribute costs if a model may be trained for this purpose.

    Requests are only recorded. At each checkpoint (one of four points in the sequence of requests) one training on all
    of the data, with the base model's settings and seed, answers all requests so far. Validation chooses the epoch as
    usual. The penalty covers all users who have asked for protection by then, in all attributes. The time limit of the
    requests does not apply, because a partly trained model would not be a result.

    Attributes:
        asked: attribute name to the latest request for this attribute, which lists all users protected so far.
        stale: whether a request has been recorded since the last training.
        snapshot: path of the file for snapshots of the training; ``None`` writes none.
    """

    puts_off = True

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.asked: dict[str, AttributeRequest] = {}
        self.stale = False
        self.snapshot: Path | None = None

    @classmethod
    def check_class(cls, model_class: type[AbstractRecommender]) -> None:
        """Raise an error for a model class without trained user embeddings.

        Raises:
            UserError: the class has no user embeddings, or is not a collaborative-filtering model.
        """
        if model_class.type is not ModelType.GENERAL:
            raise UserError(
                f"{cls.name} needs trained user embeddings, and {model_class.__name__} represents users by vectors "
                "computed from histories; choose another --model or --unlearning_algorithm"
            )
        super().check_class(model_class)

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return the names of all trained parameters."""
        return trained(model)

    @abstractmethod
    def penalty(self, model: GeneralRecommender, views: Mapping[str, UserView], labels: Labelled) -> "Penalty":
        """Return the module that computes the penalty, a term that is added to the training loss.

        Args:
            model: the new model, before training.
            views: the matrices of the model's user embeddings that are to be protected: name to
                :class:`~recbole.model.user_views.UserView`.
            labels: attribute name to the group of each protected user, see :data:`Labelled`.
        """

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Record which users are to be protected. The model changes later, in :meth:`complete`.

        A request is skipped if its protected users belong to fewer than two groups of the attribute.

        Args:
            requests: attribute requests, in their order.
            deadline: not used.

        Returns:
            The outcome: ``applied``, or ``skipped`` if all of the requests are skipped.
        """
        clock = Clock(self.device, *PHASES)
        noted = [cast(AttributeRequest, request) for request in requests]
        too_few = "the protected users belong to fewer than two groups"
        idle = {one.entity: too_few for one in noted if len(one.groups) < 2}
        self.asked |= {one.attribute.name: one for one in noted if one.entity not in idle}
        self.stale = self.stale or len(idle) < len(noted)
        clock.lap("prepare")
        status, reason = ("skipped", next(iter(idle.values()))) if len(idle) == len(noted) else ("applied", "")
        work = {"n_protected": len(noted[-1].protected)}
        return Outcome(status, reason, seconds=clock.phases, idle=idle, work=work)

    def complete(self) -> bool:
        """Train a new model with the penalty for all users who are protected by now, and take over its parameters.

        Returns:
            Whether a model was trained: False if no request has been recorded since the last training.
        """
        if not self.stale:
            return False
        config = self.config.with_values(max_training_hours=None)
        run = Run(config, type(self.model))
        state = State("unlearned", self.dataset, np.zeros(len(self.dataset.log), dtype=bool))
        learned = learn(run, state, resume=self._resume(run, state), build=self._with_penalty)
        weights = learned.model.state_dict()
        self.model.load_state_dict({name: weights[name] for name in self.model.state_dict()})
        self.model.eval()
        self.stale = False
        return True

    def _with_penalty(self, run: Run, state: State) -> AbstractRecommender:
        """Return a new, untrained model whose loss includes the penalty; its submodule ``protection`` is the penalty.

        Args:
            run: settings and class of the model.
            state: the data on which the model is to be trained.
        """
        model = cast(GeneralRecommender, new_model(run, state))
        labels = {name: self._labels(request) for name, request in self.asked.items()}
        penalty = self.penalty(model, chosen_views(model, self.dataset, self.hyper.protect_view), labels)
        model.add_module("protection", penalty.to(self.device))
        plain = model.calculate_loss

        def calculate_loss(interaction: Interaction) -> tuple[torch.Tensor, ...]:
            loss = plain(interaction)
            return *(loss if isinstance(loss, tuple) else (loss,)), penalty(interaction)

        model.calculate_loss = calculate_loss  # type: ignore[method-assign]
        return model

    def _labels(self, request: AttributeRequest) -> torch.Tensor:
        """Return the group number of each protected user, int64 [n_users]; -1 for all other users."""
        label = np.full(self.dataset.n_users, -1)
        label[request.protected] = request.attribute.label[request.protected]
        return torch.from_numpy(label).to(self.device)

    def _resume(self, run: Run, state: State) -> ResumeFile | None:
        """Return the snapshot file of the training; ``None`` if no snapshots are written.

        A snapshot is used only by a training with the same settings, data, penalty and recorded requests.

        Args:
            run: settings and class of the model.
            state: the data on which the model is trained.
        """
        if self.snapshot is None:
            return None
        asked = [(one.attribute.sha256, one.protected.tolist()) for one in self.asked.values()]
        made = run.identity(state).digest, self.name, asdict(self.hyper), asked
        return ResumeFile(self.snapshot, fingerprint(made=made, version=recbole.__version__))

    def work_beside(self, stem: Path) -> None:
        """From now on, store snapshots of the training in the file ``<stem>.training.resume``."""
        self.snapshot = stem.with_name(f"{stem.name}.training.resume")

    def finish(self) -> None:
        """Remove the file of training snapshots."""
        if self.snapshot is not None:
            ResumeFile(self.snapshot, "").remove()

    def memory(self) -> dict[str, Any]:
        """Return the recorded requests, and whether a model still has to be trained for them, for a snapshot.

        Returns:
            A dictionary with ``asked``, a list of one dictionary per attribute, and ``stale``, a bool.
        """
        asked = [
            {"index": one.index, "entity": one.entity, "name": one.attribute.name, "groups": list(one.attribute.groups),
             "label": one.attribute.label.tolist(), "protected": one.protected.tolist()}
            for one in self.asked.values()
        ]  # fmt: skip
        return {"asked": asked, "stale": self.stale}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Continue an interrupted run: restore the model and the recorded requests.

        Args:
            state_dict: the model's parameters and buffers when the snapshot was taken.
            forgotten: bool [rows of the log], all False, because attribute requests forget no interaction.
            memory: what :meth:`memory` returned at that time; ``None`` restores no requests.
        """
        super().restore(state_dict, forgotten)
        for one in (memory or {}).get("asked", ()):
            attribute = UserAttribute(one["name"], tuple(one["groups"]), np.array(one["label"], dtype=np.int64))
            rows, protected = np.zeros(0, dtype=np.int64), np.array(one["protected"], dtype=np.int64)
            self.asked[attribute.name] = AttributeRequest(
                one["index"], one["entity"], rows, attribute=attribute, arrived=protected
            )
        self.stale = bool((memory or {}).get("stale", False))


class Penalty(nn.Module):
    """Base class of penalties: modules that map a training batch to a scalar tensor, which is added to the loss.

    The module's parameters are trained together with the model, and snapshots of the training include them.

    Args:
        model: the model to train.
        views: the matrices of the model's user embeddings that are to be protected: name to
            :class:`~recbole.model.user_views.UserView`.
        labels: attribute name to the group of each protected user, see :data:`Labelled`.
    """

    def __init__(self, model: GeneralRecommender, views: Mapping[str, UserView], labels: Labelled) -> None:
        super().__init__()
        self.user_field, self.views, self.labels = model.USER_ID, dict(views), labels
