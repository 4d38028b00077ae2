"""An algorithm for the tests of the contract: a step of gradient ascent, honest or with one promise broken."""

import contextlib
from dataclasses import dataclass

import torch

from recbole.unlearning.algorithm import HyperParameters, NotApplied, Step, UnlearningAlgorithm, setting
from recbole.unlearning.second_order.curvature import Subspace, gradient, second_order


@dataclass(frozen=True)
class AscentHyper(HyperParameters):
    """What the step is."""

    ascent_rate: float = setting(1e-3, "length of the step, in gradients", above=0)
    ascent_cheat: str = setting("", "the promise that is broken")


class Ascent(UnlearningAlgorithm):
    """Climbs the loss of the forgotten examples."""

    name = "ascent"
    Hyper = AscentHyper
    n_steps = 0

    def solve(self, change, index, out_of_time):
        """Return the step."""
        cheat = self.hyper.ascent_cheat
        if out_of_time() and cheat != "late":
            raise NotApplied("timeout", "time was up before the gradient")
        subspace, (times, _) = Subspace(self.model), self.multiplicity(1)
        batch = self.with_negatives(change.before, times, index, "ascent")
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
