"""Kookmin: draw the least decisive weights anew, then fine-tune."""

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
    """Kookmin's hyper-parameters."""

    kookmin_init_rate: float = hyperparameter(0.01, "share of the reached weights that is drawn anew", above=0, most=1)
    kookmin_learning_rate: float = hyperparameter(
        1e-3, "learning rate of weights drawn anew; a tenth for others", above=0
    )
    kookmin_repair_samples: int = hyperparameter(
        16, "retained examples to fine-tune on, for each forgotten one", least=0
    )


class Kookmin(ErasingAlgorithm):
    """Weights that the forgotten and the retained examples pull least apart are drawn anew, and all are fine-tuned.

    An entry of the NeurIPS 2023 Machine Unlearning Challenge by a team of Kookmin University, without a paper of its
    own; see E. Triantafillou et al., "Are we making progress in unlearning? Findings from the first NeurIPS unlearning
    competition", arXiv:2406.09073. After the published programs: with ``s = grad (L_retain - L_forget)`` over the
    forgotten examples and as many retained ones (here also what is left of those that lose an item), in each
    convolution the share of weights with the smallest ``|s|`` is drawn anew, and the network is fine-tuned on retained
    data by SGD, the other weights at a tenth of the learning rate.

    In a recommender most rows of a table have nothing to do with a request: their ``s`` is zero, hence smallest. In
    ERASE the rows of the first users in the table are drawn anew at every request. Here the choice is, in the model's
    ``erasable`` tables and matrices, among the rows that the forgotten examples pull at; in look-up tables (the model's
    ``lookups``) only among those of the examples' own user and items: in collaborative filtering the requester and the
    forgotten items, in a session model the items of the prefixes and targets that held a forgotten one, in a basket
    model the items of the requester's history and target. So neither drawn negatives nor what a propagation or a
    softmax over the catalogue reads besides are drawn anew. Dense matrices, and tables of a drop-in model that declares
    nothing, are looked at as a whole; gains of normalisations and biases are left alone. Values are drawn as the
    original draws them for linear layers: evenly in ``+- 1 / sqrt(columns)``. The ratio of learning rates scales
    gradients, so the optimizer is SGD (momentum 0.9): under ERASE's Adam it cancels. Left out are the original's weight
    decay, which would shrink everybody's rows at each request, and its schedule over epochs, since there is a fraction
    of one.
    """

    name = "kookmin"
    Hyper = KookminHyper
    hyper: KookminHyper

    def descend(self, descent: Descent) -> dict[str, Any]:
        """Draw weights anew and fine-tune."""
        case = descent.case
        rates = self._draw_anew(descent)
        examples = case.retained_examples(self.hyper.kookmin_repair_samples * len(case.change.before), "repair")
        optimizer = self.sgd(self.hyper.kookmin_learning_rate)
        for batch in descent.batches(examples, "repair"):
            descent.take(optimizer, partial(descent.mean_loss, batch, "repair"), rates)
        return {"n_drawn_anew": int(sum((rate == 1).sum() for rate in rates.values()))}

    def _draw_anew(self, descent: Descent) -> dict[str, torch.Tensor]:
        """Draw weights anew in the model; return name to tensor of each entry's relative learning rate."""
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
        """Return which rows of a table have a gradient, bool; of a matrix of single entries, which are in such a row.

        Args:
            name: the table's.
            rows: int64, of it.
            pull: the gradient in these.
        """
        if name not in self.model.entry_tables:
            return pull.flatten(1).any(dim=1)
        owner = self.model.rows_of_entries(name, rows)
        return torch.isin(owner, owner[pull != 0])

    def _least(self, saliency: torch.Tensor) -> torch.Tensor:
        """Return the indices [k, dims] of the share of entries that is the least salient, at least one if any."""
        count = max(int(self.hyper.kookmin_init_rate * saliency.numel()), min(saliency.numel(), 1))
        chosen = torch.topk(saliency.reshape(-1), count, largest=False).indices
        return torch.stack(torch.unravel_index(chosen, saliency.shape), dim=1)
