"""D2D (distribution to distribution): attribute unlearning that aligns the embeddings of user groups."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from recbole.unlearning.hyper import ProtectHyper, hyperparameter
from recbole.unlearning.mmd import mmd, mmd_estimate
from recbole.unlearning.protection import ProtectionAlgorithm

ALL_PAIRS = 10_000
"""Largest number of users in two groups together for which a step compares all pairs of users, not a sample."""


@dataclass(frozen=True)
class D2dHyper(ProtectHyper):
    """Hyper-parameters of the algorithm ``d2d``; the help text of each field describes it."""

    d2d_block: int = hyperparameter(
        1024, "users compared with all others per step, if two groups have more than 10,000 users", least=2
    )


class D2d(ProtectionAlgorithm):
    """Attribute unlearning after training: gives the user embeddings of all groups the same distribution.

    A group is the set of all users with the same value of the attribute, such as gender. Y. Li et al., "Making Users
    Indistinguishable: Attribute-wise Unlearning in Recommender Systems", MM 2023 (equation numbers not checked). The
    objective to minimise is the sum, over all groups but the first, of the squared maximum mean discrepancy between the
    group and the first group, with the five Gaussian kernels and the bandwidth of the authors' program
    (:mod:`recbole.unlearning.mmd`). A step compares all pairs of users in O(users^2 d) time. If two groups have more
    than 10,000 users together, ``d2d_block`` users, drawn again in each step, are compared with all users of both
    groups. This estimate is unbiased, and takes O(users x block x d) time. Memory is O(users x d).

    An attacker who is trained on some protected users and tested on others may be right less often than by chance. If
    the groups have equal means over all users, a difference between them in one half of the users has the opposite sign
    in the other half. This is not a sign of privacy.
    """

    name = "d2d"
    Hyper = D2dHyper
    hyper: D2dHyper

    def objective(
        self, view: str, vectors: torch.Tensor, groups: Sequence[torch.Tensor], at: tuple[int, int]
    ) -> tuple[float, torch.Tensor]:
        """Return the sum of the squared discrepancies between the first group and each other group, and its gradient.

        Args:
            view: name of the matrix of user embeddings, such as ``table``.
            vectors: float [n_users, d], these embeddings, without an autograd graph.
            groups: int64 user ids of the protected users in each group; two groups or more, none empty.
            at: the request's index and the number of the optimiser step, both from 0, which seed the sampling of users.

        Returns:
            The value to minimise, and its gradient with respect to ``vectors``, float [n_users, d].
        """
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
        """Draw the users of two groups who are compared with all users, in proportion to the groups' sizes.

        Args:
            sizes: the sizes of the two groups.
            at: the request's index and the number of the optimiser step, which seed the draw.
            view: name of the matrix of user embeddings, which seeds the draw.
            number: number of the second group, which seeds the draw.

        Returns:
            For each of the two groups an int64 tensor: positions of its drawn users in the concatenation of both
            groups.
        """
        generator = self.bench.stream(at[0], "d2d", view, number, at[1])
        share = min(self.hyper.d2d_block / sum(sizes), 1.0)
        some = [generator.choice(n, max(round(share * n), 1), replace=False) for n in sizes]
        first, second = (torch.from_numpy(places).to(self.device) for places in (some[0], some[1] + sizes[0]))
        return first, second
