"""SEIF: noise on parameters, then fine-tuning with weighted examples."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from recbole.data.ids import distinct
from recbole.unlearning.algorithm import HyperParameters, hyperparameter
from recbole.unlearning.descent import Descent, ErasingAlgorithm
from recbole.utils import torch_seed


@dataclass(frozen=True)
class SeifHyper(HyperParameters):
    """Hyper-parameters of the algorithm ``seif``; the help text of each field describes it."""

    seif_erase_std: float = hyperparameter(
        0.01, "noise before the repair, relative to the root mean square of a table or matrix", least=0
    )
    seif_erase_std_final: float = hyperparameter(0.005, "noise before the last epoch, also relative", least=0)
    seif_repair_epochs: int = hyperparameter(4, "epochs of fine-tuning", least=1)
    seif_repair_samples: int = hyperparameter(32, "retained examples per epoch, per forgotten example", least=0)
    seif_forget_class_weight: float = hyperparameter(
        0.05, "weight of retained examples whose target is a forgotten item", least=0
    )
    seif_learning_rate: float = hyperparameter(7e-4, "learning rate of fine-tuning", above=0)
    seif_momentum: float = hyperparameter(0.9, "momentum of fine-tuning", least=0)
    seif_weight_decay: float = hyperparameter(0.0, "weight decay of fine-tuning, on every parameter", least=0)


class Seif(ErasingAlgorithm):
    """Adds noise to the parameters that represent the forgotten examples, then fine-tunes on retained examples.

    An entry of the NeurIPS 2023 Machine Unlearning Challenge by team "Seif", without a paper of its own; see E.
    Triantafillou et al., "Are we making progress in unlearning?", arXiv:2406.09073. The published programs add ``N(0,
    0.6^2)`` to the convolutions, fine-tune for 4 epochs on retained data by SGD with class weights, and add ``N(0,
    0.005^2)`` before the last epoch. Forgotten examples are never used.

    The original erases once. Here requests follow one another. Noise on every table at each request, followed by
    fine-tuning on few examples, would destroy a recommender. In the tables of user and item embeddings (the model's
    ``lookups``) noise is therefore added only to the rows of the forgotten examples' users and items. In collaborative
    filtering these are the requesting user and the forgotten items; in a session model, the items of the prefixes and
    targets that contained a forgotten item; in a basket model, the items of the user's history and target. Rows that
    the loss reads only as negatives, through a graph propagation or through a softmax over all items get no noise.
    Dense matrices, and the tables of a model that declares no ``lookups``, get noise everywhere.

    The noise's standard deviation is relative to the root mean square of the table or matrix, because weights of
    recommenders differ in scale: 0.6 would be many times the size of an embedding. ERASE's ``theta (1 + 0.6 eps)``
    makes weights larger at each request. Fine-tuning uses the requesting users' own retained examples in addition to
    sampled ones. Each example has its own weight; in ERASE a batch has one weight, which Adam cancels. ERASE's unused
    ``seif_weight_decay`` takes effect here, and is 0 by default because it would shrink all rows. The original's cosine
    schedule is left out.
    """

    name = "seif"
    Hyper = SeifHyper
    hyper: SeifHyper

    def descend(self, descent: Descent) -> dict[str, Any]:
        """Add noise to the model, then fine-tune on retained examples, with less noise before the last epoch.

        Args:
            descent: makes the optimiser steps for the requests, and supplies their batches.

        Returns:
            ``{"n_repair": number of examples in an epoch of fine-tuning}``.
        """
        hyper, case, change = self.hyper, descent.case, descent.case.change
        reached = self.reached(change.before)
        items = distinct(self.dataset.log.item[change.rows])
        drawn = case.retained_examples(hyper.seif_repair_samples * len(change.before), "repair")
        examples = distinct(np.concatenate([drawn, self.dataset.examples_of(change.entities)]))
        optimizer = self.sgd(hyper.seif_learning_rate, hyper.seif_momentum)
        optimizer.param_groups[0]["weight_decay"] = hyper.seif_weight_decay
        self._shake(descent, reached, hyper.seif_erase_std, 0)
        for epoch in range(hyper.seif_repair_epochs):
            if epoch == hyper.seif_repair_epochs - 1:
                self._shake(descent, reached, hyper.seif_erase_std_final, 1)
            for batch in descent.batches(examples, "repair", epoch):
                descent.take(optimizer, partial(self._weighted, descent, batch, items, epoch))
        return {"n_repair": len(examples)}

    def _shake(self, descent: Descent, reached: dict[str, torch.Tensor], std: float, turn: int) -> None:
        """Add noise to rows of tables and matrices, in place.

        Args:
            descent: checks the time limit.
            reached: parameter name to the int64 indices of the rows that get noise (for a matrix of which only some
                entries are stored: positions of stored entries).
            std: standard deviation of the noise, relative to the root mean square of the whole parameter.
            turn: 0 for the noise before fine-tuning, 1 for that before the last epoch; part of the random seed.
        """
        descent.check_time()
        seed = torch_seed(self.config["seed"], "noise", self.name, descent.case.index, turn)
        generator = torch.Generator().manual_seed(seed)
        for name, rows in reached.items():
            parameter = self.model.get_parameter(name).detach()
            noise = torch.randn(len(rows), *parameter.shape[1:], generator=generator, dtype=parameter.dtype)
            parameter.index_add_(0, rows, std * parameter.square().mean().sqrt() * noise.to(parameter.device))

    def _weighted(self, descent: Descent, examples: np.ndarray, items: np.ndarray, epoch: int) -> torch.Tensor:
        """Return the weighted mean training loss of a batch, a scalar tensor.

        Examples whose target is a forgotten item have the weight ``seif_forget_class_weight``, others 1.

        Args:
            descent: samples negatives, and computes the loss.
            examples: int64, identifiers of the batch's training examples.
            items: int64, ascending, ids of the forgotten items.
            epoch: number of the epoch, which seeds the sampling of negatives.
        """
        light = self.dataset.aims_at(examples, items)
        weight = np.where(light, self.hyper.seif_forget_class_weight, 1.0)
        total = sum(
            weight[which][0] * which.sum() * descent.mean_loss(examples[which], "repair", epoch)
            for which in (light, ~light)
            if which.any()
        )
        return total / max(weight.sum(), 1e-12)
