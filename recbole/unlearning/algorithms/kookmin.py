"""Kookmin: re-initialises the weights with a small gradient difference, then fine-tunes."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from recbole.unlearning.algorithm import HyperParameters, hyperparameter
from recbole.unlearning.descent import Descent, ErasingAlgorithm
from recbole.unlearning.second_order.curvature import gradient
from recbole.unlearning.second_order.subspace import Subspace
from recbole.utils import torch_seed


@dataclass(frozen=True)
class KookminHyper(HyperParameters):
    """Hyper-parameters of the algorithm ``kookmin``; the help text of each field describes it."""

    kookmin_init_rate: float = hyperparameter(
        0.01, "fraction of the forgotten examples' weights to re-initialise", above=0, most=1
    )
    kookmin_learning_rate: float = hyperparameter(
        1e-3, "learning rate for re-initialised weights; a tenth of it for others", above=0
    )
    kookmin_repair_samples: int = hyperparameter(
        16, "retained examples to fine-tune on, per forgotten example", least=0
    )


class Kookmin(ErasingAlgorithm):
    """Re-initialises the weights on which forgotten and retained examples disagree least, then fine-tunes all weights.

    An entry of the NeurIPS 2023 Machine Unlearning Challenge by a team of Kookmin University, without a paper of its
    own; see E. Triantafillou et al., "Are we making progress in unlearning? Findings from the first NeurIPS unlearning
    competition", arXiv:2406.09073. The published programs compute ``s = grad (L_retain - L_forget)`` over the forgotten
    examples and as many retained ones (here also over what remains of examples that lose an item). In each convolution
    they re-initialise a fraction of the weights, those with the smallest ``|s|``. They fine-tune the network on
    retained data by SGD, with a tenth of the learning rate for the other weights.

    In a recommender most table rows are unrelated to a request: their ``s`` is zero, which is the smallest value. In
    ERASE the rows of the first users in the table are therefore re-initialised at every request. Here weights are
    chosen among the rows of the model's ``erasable`` tables and matrices in which the forgotten examples have a
    gradient. In the tables of user and item embeddings (the model's ``lookups``) only the rows of the forgotten
    examples' own user and items are considered. In collaborative filtering these are the requesting user and the
    forgotten items; in a session model, the items of the prefixes and targets that contained a forgotten item; in a
    basket model, the items of the user's history and target. Rows of negatives, and rows that the loss reads only
    through a graph propagation or a softmax over all items, are therefore not re-initialised. In dense matrices, and in
    a model that declares no ``lookups``, all rows are considered. Gains and biases of normalisations are not
    re-initialised.

    New values are drawn as the original draws them for linear layers, uniformly in ``+- 1 / sqrt(columns)``. The ratio
    of learning rates is applied to the gradients. The optimiser is SGD (momentum 0.9), because with ERASE's Adam the
    ratio cancels. The original's weight decay is left out, because it would shrink all rows at each request. So is its
    learning-rate schedule over epochs, because the fine-tuning takes a fraction of an epoch.
    """

    name = "kookmin"
    Hyper = KookminHyper
    hyper: KookminHyper

    def descend(self, descent: Descent) -> dict[str, Any]:
        """Re-initialise weights of the model, then fine-tune on retained examples, in place.

        Args:
            descent: makes the optimiser steps for the requests, and supplies their batches.

        Returns:
            ``{"n_drawn_anew": number of weights that were re-initialised}``.
        """
        case = descent.case
        rates = self._draw_anew(descent)
        examples = case.retained_examples(self.hyper.kookmin_repair_samples * len(case.change.before), "repair")
        optimizer = self.sgd(self.hyper.kookmin_learning_rate)
        for batch in descent.batches(examples, "repair"):
            descent.take(optimizer, partial(descent.mean_loss, batch, "repair"), rates)
        return {"n_drawn_anew": int(sum((rate == 1).sum() for rate in rates.values()))}

    def _draw_anew(self, descent: Descent) -> dict[str, torch.Tensor]:
        """Re-initialise weights of the model, in place.

        Args:
            descent: supplies the forgotten examples, and checks the time limit.

        Returns:
            Parameter name to the relative learning rate of each weight (of the parameter's shape): 1 if the weight was
            re-initialised, else 0.1.
        """
        descent.check_time()
        case = descent.case
        times, _ = case.multiplicity(1)
        before, after = case.paired(times)
        retained, _ = case.retained(len(case.change.before), times)
        subspace = Subspace(self.model, self.model.erasable(), [before, after, retained], entries=False)
        forget = gradient(subspace, [before])
        saliency = (gradient(subspace, [after, retained]) - forget).abs()
        generator = torch.Generator().manual_seed(torch_seed(self.config["seed"], "noise", self.name, case.index))
        rates = {name: torch.full_like(p, 0.1) for name, p in self.model.named_parameters() if p.requires_grad}
        parts = zip(subspace.names, subspace.unflatten(forget), subspace.unflatten(saliency), strict=True)
        reached = self.reached(case.change.before)
        for name, pull, part in parts:
            rows = reached[name]
            at = torch.searchsorted(subspace.rows[name], rows) if name in subspace.rows else rows
            pulled = self._pulled(name, rows, pull[at])
            entries = self._least(part[at[pulled]])
            place = (rows[pulled][entries[:, 0]], *entries[:, 1:].T)
            columns = self.model.shape_of(name)[1] if name in self.model.entry_tables else part.shape[-1]
            bound = columns**-0.5
            fresh = (2 * torch.rand(len(entries), generator=generator) - 1) * bound
            parameter = self.model.get_parameter(name)
            with torch.no_grad():
                parameter[place] = fresh.to(parameter)
            rates[name][place] = 1.0
        return rates

    def _pulled(self, name: str, rows: torch.Tensor, pull: torch.Tensor) -> torch.Tensor:
        """Return for each of the given rows of a table whether its gradient has a non-zero element, bool [n].

        For a matrix of which only some entries are stored (the model's ``entry_tables``), the arguments and the result
        refer to entries instead: the result says whether any of the given entries in the same matrix row has a non-zero
        gradient.

        Args:
            name: name of the table's parameter.
            rows: int64 [n], row indices (for such a matrix: positions of stored entries).
            pull: [n, ...], the gradient in these rows (or entries).
        """
        if name not in self.model.entry_tables:
            return pull.flatten(1).any(dim=1)
        owner = self.model.rows_of_entries(name, rows)
        return torch.isin(owner, owner[pull != 0])

    def _least(self, saliency: torch.Tensor) -> torch.Tensor:
        """Return the indices of the ``k`` elements with the smallest saliency, int64 [k, number of dimensions].

        ``k`` is the fraction ``kookmin_init_rate`` of the number of elements, rounded down, but at least 1 if there are
        any.

        Args:
            saliency: absolute gradient differences, a tensor of any shape.
        """
        count = max(int(self.hyper.kookmin_init_rate * saliency.numel()), min(saliency.numel(), 1))
        chosen = torch.topk(saliency.reshape(-1), count, largest=False).indices
        return torch.stack(torch.unravel_index(chosen, saliency.shape), dim=1)
