"""Adversarial training: trains a new model against an adversary that infers the users' attribute."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from recbole.data import Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.user_views import UserView
from recbole.unlearning.hyper import ViewHyper, hyperparameter
from recbole.unlearning.in_training import InTrainingAlgorithm, Labelled, Penalty

HIDDEN = 16
"""Number of units in the adversary's hidden layer."""


@dataclass(frozen=True)
class AdvHyper(ViewHyper):
    """Hyper-parameters of the algorithm ``adv``; the help text of each field describes it."""

    adv_weight: float = hyperparameter(1.0, "weight of the adversary's cross-entropy in the training loss", above=0)
    adv_reversal: float = hyperparameter(
        0.5, "factor of the reversed gradient from the adversary to the user embeddings", above=0
    )


class Adv(InTrainingAlgorithm):
    """Reference: training from scratch against an adversary, whose gradient is reversed in the user embeddings.

    Gradient reversal is from Y. Ganin, V. Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML 2015.
    The sizes are those in the program of Y. Li et al., "Making Users Indistinguishable", MM 2023: a perceptron with one
    hidden layer infers the attribute from the embeddings of each batch's users, and is trained by the same optimiser as
    the model. There is one perceptron for each attribute and each protected matrix of user embeddings (view), with one
    output per group.

    The attribute is hidden from this adversary only: an attacker trained afterwards may infer it better than before.
    """

    name = "adv"
    Hyper = AdvHyper
    hyper: AdvHyper

    def penalty(self, model: GeneralRecommender, views: Mapping[str, UserView], labels: Labelled) -> Penalty:
        """Return the module that computes the adversaries' loss."""
        return Adversaries(model, views, labels, self.hyper)


class Adversaries(Penalty):
    """The penalty of :class:`Adv`: the adversaries and their loss.

    Args:
        model: the model to train.
        views: its protected matrices of user embeddings, name to view.
        labels: attribute name to each user's group, int64 [n_users]; -1 for users who are not protected.
        hyper: the hyper-parameters.
    """

    def __init__(
        self, model: GeneralRecommender, views: Mapping[str, UserView], labels: Labelled, hyper: AdvHyper
    ) -> None:
        super().__init__(model, views, labels)
        self.hyper = hyper
        sizes = {view: of.values().shape[1] for view, of in self.views.items()}
        self.readers = nn.ModuleDict({
            f"{name}/{view}": nn.Sequential(
                nn.Linear(size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, int(label.max()) + 1)
            )
            for name, label in labels.items() for view, size in sizes.items()
        })  # fmt: skip

    def forward(self, interaction: Interaction) -> torch.Tensor:
        """Return the adversaries' weighted cross-entropy for the batch's protected users, a scalar tensor.

        It is summed over adversaries. Its gradient is reversed in the model's parameters, but not in the adversaries'.
        """
        user = interaction[self.user_field]
        total = torch.zeros((), device=user.device)
        for view, of in self.views.items():
            vectors = of.vectors()
            for name, label in self.labels.items():
                known = user[label[user] >= 0]
                if len(known):
                    own = _Reversed.apply(vectors.index_select(0, known), self.hyper.adv_reversal)
                    total = total + functional.cross_entropy(self.readers[f"{name}/{view}"](own), label[known])
        return self.hyper.adv_weight * total


class _Reversed(torch.autograd.Function):
    """The identity function with a reversed gradient: backward multiplies it by ``-factor``."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.factor * gradient, None
