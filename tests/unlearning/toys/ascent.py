"""A toy algorithm for the contract tests: a gradient-ascent step, correct or with one violation of the contract."""

import contextlib
from dataclasses import dataclass

import torch

from recbole.unlearning.algorithm import HyperParameters, Step, StepAlgorithm, hyperparameter
from recbole.unlearning.second_order.curvature import gradient, second_order
from recbole.unlearning.second_order.subspace import Subspace


@dataclass(frozen=True)
class AscentHyper(HyperParameters):
    """What the step is."""

    ascent_rate: float = hyperparameter(1e-3, "length of the step, in gradients", above=0)
    ascent_cheat: str = hyperparameter("", "the promise that is broken")


class Ascent(StepAlgorithm):
    """Climbs the loss of the forgotten examples."""

    name = "ascent"
    Hyper = AscentHyper
    n_steps = 0

    def solve(self, case, observed):
        """Return the step."""
        cheat = self.hyper.ascent_cheat
        if cheat != "late":
            case.check_time("before the gradient")
        subspace, (times, _) = Subspace(self.model), case.multiplicity(1)
        batch = case.with_negatives(case.change.before, times, "ascent")
        with contextlib.nullcontext() if cheat == "dropout" else second_order(self.model):
            step = gradient(subspace, [batch])
        self.n_steps += 1
        if cheat == "unseeded":
            step = step + torch.rand_like(step)
        if cheat == "remembers":
            step = step * self.n_steps
        if cheat == "looks back":
            step = step + float(self.dataset.log.item[self.dataset.forgotten].mean())
        if cheat == "in place":
            subspace.add(step)
        return Step(subspace, self.hyper.ascent_rate * step, {"n_gradients": 1})
