"""Adversarial training: a model is trained again against someone who reads the attribute."""

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
"""Units of the adversary's hidden layer."""


@dataclass(frozen=True)
class AdvHyper(ViewHyper):
    """The hyper-parameters of ``adv``."""

    adv_weight: float = hyperparameter(1.0, "weight of the adversary's cross-entropy in the loss", above=0)
    adv_reversal: float = hyperparameter(
        0.5, "factor by which its gradient is reversed on the way to the vectors", above=0
    )


class Adv(InTrainingAlgorithm):
    """Yardstick: trained again from scratch against an adversary, whose gradient is reversed on the way to the vectors.

    Gradient reversal is of Y. Ganin, V. Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML 2015; the
    sizes are those of the program of Y. Li et al., "Making Users Indistinguishable", MM 2023: a perceptron of one
    hidden layer reads the attribute off the vectors of each batch's people, and learns by the same optimizer as the
    model. There is one for each attribute and protected view, with as many outputs as there are groups.

    It hides from this adversary and from nobody else: whoever learns anew may read the attribute better than before.
    """

    name = "adv"
    Hyper = AdvHyper
    hyper: AdvHyper

    def penalty(self, model: GeneralRecommender, views: Mapping[str, UserView], labels: Labelled) -> Penalty:
        """Return the adversaries' loss."""
        return Adversaries(model, views, labels, self.hyper)


class Adversaries(Penalty):
    """The penalty of :class:`Adv`."""

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
        """Return the weighted cross-entropy, summed over adversaries, of the batch's protected people."""
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
    """The identity, whose gradient is taken times a negative factor."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.factor * gradient, None
