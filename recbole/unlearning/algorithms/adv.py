"""Adversarial training: trains a new model against an adversary that infers a user attribute, such as gender."""

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
    """Reference method, not unlearning: trains a new model whose user embeddings hide an attribute from an adversary.

    The model from before the request is discarded. The adversary learns to infer the attribute from the embeddings,
    while the reversed gradient of its loss trains the embeddings to prevent it. Gradient reversal is from Y. Ganin, V.
    Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML 2015. The sizes are those in the program of Y.
    Li et al., "Making Users Indistinguishable", MM 2023: a perceptron with one hidden layer infers the attribute from
    the embeddings of each batch's users, and is trained by the same optimiser as the model. There is one perceptron for
    each attribute and each matrix of user embeddings that is to be protected (for example the embedding table, and the
    embeddings after graph propagation). A perceptron has one output per group, which is the set of all users with the
    same value of the attribute.

    The attribute is hidden from this adversary only: an attacker trained afterwards may infer it better than before.
    """

    name = "adv"
    Hyper = AdvHyper
    hyper: AdvHyper

    def penalty(self, model: GeneralRecommender, views: Mapping[str, UserView], labels: Labelled) -> Penalty:
        """Return the module that computes the adversaries' loss, which is added to the training loss.

        Args:
            model: the new model, before training.
            views: name to matrix of user embeddings, for the matrices that must not reveal the attribute.
            labels: attribute name to the group number of each user, int64 [n_users]; -1 for users whose attribute is
                not to be hidden.
        """
        return Adversaries(model, views, labels, self.hyper)


class Adversaries(Penalty):
    """The adversaries of :class:`Adv`, a module that maps a training batch to their loss.

    Args:
        model: the model to train.
        views: name to matrix of user embeddings, for the matrices that must not reveal the attribute.
        labels: attribute name to the group number of each user, int64 [n_users]; -1 for users whose attribute is not to
            be hidden.
        hyper: the weight of the loss, and the factor of the reversed gradient.

    Attributes:
        readers: the perceptrons, under the names ``<attribute>/<name of the matrix>``.
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
        """Return ``adv_weight`` times the sum of the adversaries' cross-entropies, a scalar tensor.

        Each cross-entropy is the mean over the batch's protected users; it is 0 for a batch without any. Its gradient
        has its usual sign in the adversaries' parameters. In the model's parameters it is multiplied by
        ``-adv_reversal``.

        Args:
            interaction: a training batch, of which only the user ids are read.
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
    """Returns its input unchanged; the backward pass multiplies the gradient by ``-factor``."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.factor * gradient, None
