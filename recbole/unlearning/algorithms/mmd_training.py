"""MMD in training: trains a model from scratch so that the groups' embeddings have the same distribution."""

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

    mmd_weight: float = hyperparameter(1.0, "weight of the discrepancy in the training loss", above=0)
    mmd_every: int = hyperparameter(50, "the discrepancy is added to the loss of every n-th batch", least=1)


class MmdTraining(InTrainingAlgorithm):
    """Yardstick: training from scratch with the groups' maximum mean discrepancy added to the loss.

    This is the option ``retrain`` in the program of Y. Li et al., "Making Users Indistinguishable", MM 2023. It is no
    retraining without the attribute, which the data never contained. The discrepancy is that of ``d2d``, between all
    protected users. It is added to every fiftieth batch by default, as in that program.
    """

    name = "mmd_training"
    Hyper = MmdTrainingHyper
    hyper: MmdTrainingHyper

    def penalty(self, model: GeneralRecommender, views: Mapping[str, UserView], labels: Labelled) -> Penalty:
        """Return the module that computes the discrepancy between all protected users, in some of the batches."""
        return Discrepancy(model, views, labels, self.hyper)


class Discrepancy(Penalty):
    """The penalty of :class:`MmdTraining`.

    Args:
        model: the model to train.
        views: its protected user embeddings, name to view.
        labels: attribute name to each user's group, int64 [n_users]; -1 for users who are not protected.
        hyper: the hyper-parameters.
    """

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
        """Return the weighted discrepancy, differentiable; 0 for a batch that it is not added to."""
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
    """Return the value of :func:`~recbole.unlearning.mmd.mmd` as a tensor with that function's gradient."""
    value, gradient = mmd(points.detach(), n_first)
    pulled = (points * gradient).sum()
    return pulled - pulled.detach() + value
