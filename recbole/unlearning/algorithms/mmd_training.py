"""MMD in training: a model is trained again so that groups have one distribution of vectors."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from recbole.data import Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.user_views import UserView
from recbole.unlearning.hyper import ViewHyper, hyperparameter
from recbole.unlearning.in_training import InTrainingAlgorithm, Labelled, Penalty
from recbole.unlearning.mmd import mmd


@dataclass(frozen=True)
class MmdTrainingHyper(ViewHyper):
    """The hyper-parameters of ``mmd_training``."""

    mmd_weight: float = hyperparameter(1.0, "weight of the discrepancy in the loss", above=0)
    mmd_every: int = hyperparameter(50, "batches from one to the next that it is added to", least=1)


class MmdTraining(InTrainingAlgorithm):
    """Yardstick: trained again from scratch, the groups' maximum mean discrepancy added to the loss.

    ``retrain`` of the program of Y. Li et al., "Making Users Indistinguishable", MM 2023, which is no retraining
    without the attribute: nothing of that ever was in the data. The discrepancy is that of ``d2d``, of all protected
    people, and added to each fiftieth batch, as there.
    """

    name = "mmd_training"
    Hyper = MmdTrainingHyper
    hyper: MmdTrainingHyper

    def penalty(self, model: GeneralRecommender, views: Mapping[str, UserView], labels: Labelled) -> Penalty:
        """Return the discrepancy of all protected people, on some of the batches."""
        return Discrepancy(model, views, labels, self.hyper)


class Discrepancy(Penalty):
    """The penalty of :class:`MmdTraining`."""

    batches: torch.Tensor

    def __init__(
        self, model: GeneralRecommender, views: Mapping[str, UserView], labels: Labelled, hyper: MmdTrainingHyper
    ) -> None:
        super().__init__(model, views, labels)
        self.hyper = hyper
        self.groups = {
            name: [people for group in range(int(label.max()) + 1) if len(people := torch.where(label == group)[0])]
            for name, label in labels.items()
        }
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64, device=model.device))

    def forward(self, interaction: Interaction) -> torch.Tensor:
        """Return the weighted discrepancy, differentiable, or 0 on a batch that goes without."""
        self.batches += 1
        total = torch.zeros((), device=self.batches.device)
        if int(self.batches) % self.hyper.mmd_every:
            return total
        for view in self.views.values():
            vectors = view.vectors()
            for first, *others in self.groups.values():
                for other in others:
                    total = total + _discrepancy(vectors[torch.cat([first, other])], len(first))
        return self.hyper.mmd_weight * total


def _discrepancy(points: torch.Tensor, n_first: int) -> torch.Tensor:
    """Return :func:`~recbole.unlearning.mmd.mmd` with its gradient attached."""
    value, gradient = mmd(points.detach(), n_first)
    pulled = (points * gradient).sum()
    return pulled - pulled.detach() + value
