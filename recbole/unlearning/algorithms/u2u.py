"""U2U: user-to-user attribute unlearning."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from recbole.unlearning.hyper import ProtectHyper, hyperparameter
from recbole.unlearning.protection import ProtectionAlgorithm


@dataclass(frozen=True)
class U2uHyper(ProtectHyper):
    """The hyper-parameters of U2U."""

    u2u_repulsion: float = hyperparameter(
        0.0, "how much people of one group are pushed apart, as the paper says and its program does not", least=0
    )


class U2u(ProtectionAlgorithm):
    """Pulls people of different groups together, pair by pair: post-training attribute unlearning, user to user.

    Y. Li et al., "Making Users Indistinguishable: Attribute-wise Unlearning in Recommender Systems", MM 2023 (equation
    numbers not checked). With e_u a person's vector, over all pairs of people of different groups, and of one group::

        sum_{a_i != a_j} |e_i - e_j|^2 - gamma sum_{a_i = a_j} |e_i - e_j|^2

    The authors' program has no second sum (gamma = 0, the default here); its minimum is that everybody is the same.
    With ``u2u_repulsion`` the second is there, and the sum has no minimum: Adam's steps and the regulariser alone bound
    it. Both are differences of closed forms, ``sum_{i < j of n} |e_i - e_j|^2 = n sum_i |e_i|^2 - |sum_i e_i|^2``, so
    that a step takes O(people x d). More than two groups are all pulled together.

    What is left is not unreadable: the groups end as narrow clusters in different places, which trees tell apart.
    """

    name = "u2u"
    Hyper = U2uHyper
    hyper: U2uHyper

    def objective(
        self, view: str, vectors: torch.Tensor, groups: Sequence[torch.Tensor], at: tuple[int, int]
    ) -> tuple[float, torch.Tensor]:
        """Return the sum over pairs, and its gradient."""
        return user_to_user(vectors, groups, self.hyper.u2u_repulsion)


def user_to_user(
    vectors: torch.Tensor, groups: Sequence[torch.Tensor], repulsion: float = 0.0
) -> tuple[float, torch.Tensor]:
    """Return U2U's sum over the pairs of groups (int64 ids), and its gradient in the vectors, float [n_users, d]."""
    everybody = torch.cat(list(groups))
    gradient = torch.zeros_like(vectors)
    value = _add_pairs(vectors, everybody, 1.0, gradient)
    for people in groups:
        value += _add_pairs(vectors, people, -(1.0 + repulsion), gradient)
    return value, gradient


def _add_pairs(vectors: torch.Tensor, people: torch.Tensor, times: float, gradient: torch.Tensor) -> float:
    """Return ``times`` the sum of squared distances between all pairs of some people, and add its gradient."""
    own, n = vectors[people].double(), len(people)
    total = own.sum(dim=0)
    gradient.index_add_(0, people, (2 * times * (n * own - total)).to(gradient.dtype))
    return times * float(n * own.square().sum() - total.square().sum())
