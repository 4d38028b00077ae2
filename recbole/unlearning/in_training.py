"""What algorithms have in common that make an attribute unreadable by training again: yardsticks, no unlearning."""

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
"""Attribute to the group of each protected person, int64 [n_users], -1 of everybody else."""


class InTrainingAlgorithm(AttributeAlgorithm):
    """A model is trained again from scratch, with a penalty added to its loss; to add one takes a :meth:`penalty`.

    That is no unlearning: the trained model is thrown away. It shows what protection costs where it may be trained in.
    Requests are noted, and answered together at each checkpoint by one training on all of the data, with the base's
    settings and seed, of which validation chooses the epoch as usual; the penalty is of everybody who is protected by
    then, in all attributes together. The training is not cut off by the budget: half of one is none.
    """

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.asked: dict[str, AttributeRequest] = {}
        self.stale = False
        self.snapshot: Path | None = None

    @classmethod
    def check_class(cls, model_class: type[AbstractRecommender]) -> None:
        """Refuse models that do not know people by their id."""
        if model_class.type is not ModelType.GENERAL:
            raise UserError(
                f"{cls.name} trains vectors of people's own, and {model_class.__name__} makes them of histories"
            )
        super().check_class(model_class)

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return all trained parameters."""
        return trained(model)

    @abstractmethod
    def penalty(self, model: GeneralRecommender, views: Mapping[str, UserView], labels: Labelled) -> "Penalty":
        """Return what is added to the loss of a model that is to be trained."""

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Note who is to be protected; the training is left to :meth:`complete`."""
        clock = Clock(self.device, *PHASES)
        noted = [cast(AttributeRequest, request) for request in requests]
        idle = {one.entity: "the protected people are of fewer than two groups" for one in noted if len(one.groups) < 2}
        self.asked |= {one.attribute.name: one for one in noted if one.entity not in idle}
        self.stale = self.stale or len(idle) < len(noted)
        clock.lap("prepare")
        status, reason = ("skipped", next(iter(idle.values()))) if len(idle) == len(noted) else ("applied", "")
        work = {"n_protected": len(noted[-1].protected)}
        return Outcome(status, reason, seconds=clock.phases, idle=idle, work=work)

    def complete(self) -> bool:
        """Train a model with the penalty of all who are protected by now; return whether anybody new is."""
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
        """Return a new model whose loss has the penalty, and whose parameters hold the penalty's own."""
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
        label = np.full(self.dataset.n_users, -1)
        label[request.protected] = request.attribute.label[request.protected]
        return torch.from_numpy(label).to(self.device)

    def _resume(self, run: Run, state: State) -> ResumeFile | None:
        if self.snapshot is None:
            return None
        asked = [(one.attribute.sha256, one.protected.tolist()) for one in self.asked.values()]
        made = run.identity(state).digest, self.name, asdict(self.hyper), asked
        return ResumeFile(self.snapshot, fingerprint(made=made, version=recbole.__version__))

    def work_beside(self, stem: Path) -> None:
        """Keep snapshots of training in a file of a stem."""
        self.snapshot = stem.with_name(f"{stem.name}.training.resume")

    def finish(self) -> None:
        """Remove that file."""
        if self.snapshot is not None:
            ResumeFile(self.snapshot, "").remove()

    def memory(self) -> dict[str, Any]:
        """Return who is protected in what, and whether the model was trained so."""
        asked = [
            {"index": one.index, "entity": one.entity, "name": one.attribute.name, "groups": list(one.attribute.groups),
             "label": torch.from_numpy(one.attribute.label), "protected": torch.from_numpy(one.protected)}
            for one in self.asked.values()
        ]  # fmt: skip
        return {"asked": asked, "stale": self.stale}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Take up a snapshot."""
        super().restore(state_dict, forgotten)
        for one in (memory or {}).get("asked", ()):
            attribute = UserAttribute(one["name"], tuple(one["groups"]), one["label"].numpy())
            rows, protected = np.zeros(0, dtype=np.int64), one["protected"].numpy()
            self.asked[attribute.name] = AttributeRequest(
                one["index"], one["entity"], rows, attribute=attribute, protected=protected
            )
        self.stale = bool((memory or {}).get("stale", False))


class Penalty(nn.Module):
    """What is added to a model's training loss: a module, whose state is in the snapshots of the training.

    Args:
        model: that is trained.
        views: its user views that are protected.
        labels: who is protected in what.
    """

    def __init__(self, model: GeneralRecommender, views: Mapping[str, UserView], labels: Labelled) -> None:
        super().__init__()
        self.user_field, self.views, self.labels = model.USER_ID, dict(views), labels
