"""SEIF: noise, then weighted fine-tuning."""

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
    """SEIF's hyper-parameters."""

    seif_erase_std: float = hyperparameter(
        0.01, "noise before the repair, in root mean squares of a table or matrix", least=0
    )
    seif_erase_std_final: float = hyperparameter(0.005, "noise before the last epoch of the repair, likewise", least=0)
    seif_repair_epochs: int = hyperparameter(4, "epochs of the repair", least=1)
    seif_repair_samples: int = hyperparameter(32, "retained examples of an epoch, for each forgotten one", least=0)
    seif_forget_class_weight: float = hyperparameter(
        0.05, "weight of retained examples whose target was forgotten", least=0
    )
    seif_learning_rate: float = hyperparameter(7e-4, "learning rate of the repair", above=0)
    seif_momentum: float = hyperparameter(0.9, "momentum of the repair", least=0)
    seif_weight_decay: float = hyperparameter(0.0, "weight decay of the repair, on every parameter", least=0)


class Seif(ErasingAlgorithm):
    """Noise on what the forgotten examples read, healed by fine-tuning on retained examples.

    An entry of the NeurIPS 2023 Machine Unlearning Challenge by team "Seif", without a paper of its own; see
    E. Triantafillou et al., "Are we making progress in unlearning?", arXiv:2406.09073. After the published programs:
    add ``N(0, 0.6^2)`` to the convolutions, fine-tune 4 epochs on retained data by SGD with class weights, and add
    ``N(0, 0.005^2)`` before the last epoch. Forgotten examples are never looked at.

    The original erases once; here requests follow one another, and noise on every table at each of them, with a repair
    that sees a handful of examples, leaves nothing of a recommender. So in look-up tables (the model's ``lookups``) the
    noise is on the rows of the forgotten examples: in collaborative filtering of the requester and the forgotten items;
    in a session model of the items of the prefixes and targets that held a forgotten one; in a basket model of the
    items of the requester's history and target. What else a loss reads, by a propagation or a softmax over the
    catalogue, and drawn negatives are left alone. Dense matrices, and tables of a drop-in model that declares nothing,
    are shaken as a whole. Noise is additive with a deviation in root mean squares of the tensor: weights of
    recommenders come in all scales, 0.6 would be many times an embedding, and ERASE's ``theta (1 + 0.6 eps)`` makes
    weights larger at each request. The repair sees the requesters' own retained examples beside drawn ones. Each
    example has its weight; in ERASE a batch has one, which Adam cancels. ERASE's unused ``seif_weight_decay`` works,
    and is 0 because it would shrink everybody's rows. The original's cosine schedule is left out.
    """

    name = "seif"
    Hyper = SeifHyper
    hyper: SeifHyper

    def descend(self, descent: Descent) -> dict[str, Any]:
        """Erase and repair."""
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
        """Add noise to rows of tables and matrices (name to int64), ``std`` of each one's root mean square in size."""
        descent.check_time()
        seed = torch_seed(self.config["seed"], "noise", self.name, descent.case.index, turn)
        generator = torch.Generator().manual_seed(seed)
        for name, rows in reached.items():
            parameter = self.model.get_parameter(name).detach()
            noise = torch.randn(len(rows), *parameter.shape[1:], generator=generator, dtype=parameter.dtype)
            parameter.index_add_(0, rows, std * parameter.square().mean().sqrt() * noise.to(parameter.device))

    def _weighted(self, descent: Descent, examples: np.ndarray, items: np.ndarray, epoch: int) -> torch.Tensor:
        """Return the mean training loss, in which examples with a forgotten item as target count less."""
        light = self.dataset.aims_at(examples, items)
        weight = np.where(light, self.hyper.seif_forget_class_weight, 1.0)
        total = sum(
            weight[which][0] * which.sum() * descent.mean_loss(examples[which], "repair", epoch)
            for which in (light, ~light)
            if which.any()
        )
        return total / max(weight.sum(), 1e-12)
