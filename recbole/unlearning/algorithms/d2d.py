"""D2D: distribution-to-distribution attribute unlearning."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from recbole.unlearning.hyper import ProtectHyper, hyperparameter
from recbole.unlearning.mmd import mmd, mmd_estimate
from recbole.unlearning.protection import ProtectionAlgorithm

ALL_PAIRS = 10_000
"""Of two groups with at most so many people together every pair is looked at in each step."""


@dataclass(frozen=True)
class D2dHyper(ProtectHyper):
    """The hyper-parameters of D2D."""

    d2d_block: int = hyperparameter(
        1024, "of two groups of more than 10,000 people: how many are compared with all in a step", least=2
    )


class D2d(ProtectionAlgorithm):
    """Makes the groups' distributions of vectors one: post-training attribute unlearning by maximum mean discrepancy.

    Y. Li et al., "Making Users Indistinguishable: Attribute-wise Unlearning in Recommender Systems", MM 2023 (equation
    numbers not checked): the sum, over all groups but the first, of the squared maximum mean discrepancy from the
    first, with the five Gaussian kernels and the bandwidth of the authors' program (:mod:`recbole.unlearning.mmd`). A
    step takes all pairs in O(people^2 d) time; of many people, as many as ``d2d_block``, drawn anew in each step, are
    compared with everybody, which is an estimate without bias in O(people x block x d). Memory is O(people x d).

    An attacker who is trained on some of the protected people and asked about others may be wrong more often than by
    chance: equal means of all make the mean of the ones the opposite of that of the others. That is no privacy.
    """

    name = "d2d"
    Hyper = D2dHyper
    hyper: D2dHyper

    def objective(
        self, view: str, vectors: torch.Tensor, groups: Sequence[torch.Tensor], at: tuple[int, int]
    ) -> tuple[float, torch.Tensor]:
        """Return the sum of the discrepancies, and its gradient."""
        first, gradient, total = groups[0], torch.zeros_like(vectors), 0.0
        for number, other in enumerate(groups[1:], start=1):
            both, n = torch.cat([first, other]), len(first)
            if len(both) <= ALL_PAIRS:
                value, part = mmd(vectors[both], n)
            else:
                value, part = mmd_estimate(vectors[both], n, self._drawn((n, len(other)), at, view, number))
            total += value
            gradient.index_add_(0, both, part)
        return total, gradient

    def _drawn(
        self, sizes: tuple[int, int], at: tuple[int, int], view: str, number: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the places of those who are compared with all: of two groups as many as the group's share of them."""
        generator = self.bench.stream(at[0], "d2d", view, number, at[1])
        share = min(self.hyper.d2d_block / sum(sizes), 1.0)
        some = [generator.choice(n, max(round(share * n), 1), replace=False) for n in sizes]
        first, second = (torch.from_numpy(places).to(self.device) for places in (some[0], some[1] + sizes[0]))
        return first, second
