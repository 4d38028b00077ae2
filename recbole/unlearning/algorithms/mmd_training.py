"""MMD in training: trains a new model in which the embeddings of all user groups have the same distribution."""

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
    """Hyper-parameters of the algorithm ``mmd_training``; the help text of each field describes it."""

    mmd_weight: float = hyperparameter(1.0, "weight of the discrepancy in the training loss", above=0)
    mmd_every: int = hyperparameter(50, "the discrepancy is added to the loss of every n-th batch", least=1)


class MmdTraining(InTrainingAlgorithm):
    """Reference method, not unlearning: trains a new model with similarly distributed embeddings in all user groups.

    A group is the set of all users with the same value of an attribute, such as gender. The maximum mean discrepancy
    between the embeddings of the first group's protected users and those of each other group is added to the training
    loss (by default of every fiftieth batch), as in the option ``retrain`` of the program of Y. Li et al., "Making
    Users Indistinguishable", MM 2023. That option does not retrain without the attribute, which was never among the
    training data. The discrepancy is computed as in the algorithm ``d2d``.
    """

    name = "mmd_training"
    Hyper = MmdTrainingHyper
    hyper: MmdTrainingHyper

    def penalty(self, model: GeneralRecommender, views: Mapping[str, UserView], labels: Labelled) -> Penalty:
        """Return a :class:`Discrepancy` (see there for the arguments), which is added to the training loss."""
        return Discrepancy(model, views, labels, self.hyper)


class Discrepancy(Penalty):
    """The term of :class:`MmdTraining` in the training loss: a module that maps a batch to the weighted discrepancy.

    Args:
        model: the model to train.
        views: name to matrix of user embeddings, for the matrices that must not reveal the attribute.
        labels: attribute name to each user's group number, int64 [n_users]; -1: the user's attribute need not be
            hidden.
        hyper: the weight of the discrepancy, and in every how many batches it is computed.

    Attributes:
        groups: attribute name to the protected users' ids (int64), one tensor per group; groups without users are left
            out.
        batches: number of batches so far, a scalar int64 buffer.
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
        """Return the weighted discrepancy, a differentiable scalar; 0 for batches in which it is not computed.

        The squared discrepancies are summed over the matrices of user embeddings, the attributes, and the pairs of the
        first group with each other group. The batch is not read: the discrepancy is that of all protected users.
        """
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
    """Return the squared discrepancy of :func:`~recbole.unlearning.mmd.mmd` as a differentiable scalar tensor.

    Args:
        points: float [n, d], user embeddings with their autograd graph; the rows of the first group come first.
        n_first: number of users in the first group.
    """
    value, gradient = mmd(points.detach(), n_first)
    pulled = (points * gradient).sum()
    return pulled - pulled.detach() + value
