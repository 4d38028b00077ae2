"""U2U (user to user): attribute unlearning that pulls users of different groups together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from recbole.unlearning.hyper import ProtectHyper, hyperparameter
from recbole.unlearning.protection import ProtectionAlgorithm


@dataclass(frozen=True)
class U2uHyper(ProtectHyper):
    """Hyper-parameters of the algorithm ``u2u``; the help text of each field describes it."""

    u2u_repulsion: float = hyperparameter(
        0.0, "weight of pushing users of the same group apart, as in the paper but not in its program", least=0
    )


class U2u(ProtectionAlgorithm):
    """Pulls the embeddings of users of different groups together, pair by pair: attribute unlearning after training.

    Y. Li et al., "Making Users Indistinguishable: Attribute-wise Unlearning in Recommender Systems", MM 2023 (equation
    numbers not checked). With e_u the embedding of user u, and sums over all pairs of users of different groups and of
    the same group, the objective is::

        sum_{a_i != a_j} |e_i - e_j|^2 - gamma sum_{a_i = a_j} |e_i - e_j|^2

    The authors' program does not have the second sum (gamma = 0, the default here). At the minimum of the first sum all
    users have the same embedding. With ``u2u_repulsion`` as gamma, the objective has no minimum: only the number of
    Adam's steps and the regulariser bound it. Both sums follow from the closed form ``sum_{i < j of n} |e_i - e_j|^2 =
    n sum_i |e_i|^2 - |sum_i e_i|^2``, so a step takes O(users x d). With more than two groups, all are pulled together.

    The result still reveals the attribute: each group ends as a narrow cluster with its own centre, and decision trees
    can separate the clusters.
    """

    name = "u2u"
    Hyper = U2uHyper
    hyper: U2uHyper

    def objective(
        self, view: str, vectors: torch.Tensor, groups: Sequence[torch.Tensor], at: tuple[int, int]
    ) -> tuple[float, torch.Tensor]:
        """Return the objective, a sum over pairs of users, and its gradient in ``vectors``, float [n_users, d].

        See :meth:`ProtectionAlgorithm.objective <recbole.unlearning.protection.ProtectionAlgorithm.objective>`.
        """
        return user_to_user(vectors, groups, self.hyper.u2u_repulsion)


def user_to_user(
    vectors: torch.Tensor, groups: Sequence[torch.Tensor], repulsion: float = 0.0
) -> tuple[float, torch.Tensor]:
    """Return U2U's objective, a sum over pairs of users (:class:`U2u`), and its gradient in the embeddings.

    Args:
        vectors: float [n_users, d], user embeddings.
        groups: int64 user ids of each group.
        repulsion: weight gamma of the sum over pairs of the same group.

    Returns:
        The sum, and its gradient, float [n_users, d].
    """
    everybody = torch.cat(list(groups))
    gradient = torch.zeros_like(vectors)
    value = _add_pairs(vectors, everybody, 1.0, gradient)
    for people in groups:
        value += _add_pairs(vectors, people, -(1.0 + repulsion), gradient)
    return value, gradient


def _add_pairs(vectors: torch.Tensor, people: torch.Tensor, times: float, gradient: torch.Tensor) -> float:
    """Return ``times`` the sum of squared distances over all pairs of some users, and add its gradient in place.

    Args:
        vectors: float [n_users, d], user embeddings.
        people: int64, user ids.
        times: a factor.
        gradient: float [n_users, d], to which the result's gradient is added.

    Returns:
        ``times`` the sum.
    """
    own, n = vectors[people].double(), len(people)
    total = own.sum(dim=0)
    gradient.index_add_(0, people, (2 * times * (n * own - total)).to(gradient.dtype))
    return times * float(n * own.square().sum() - total.square().sum())
