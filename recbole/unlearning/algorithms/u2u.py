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
    """Attribute unlearning after training: pulls the embeddings of users of different groups together, pair by pair.

    A group is the set of all users with the same value of an attribute, such as gender. Y. Li et al., "Making Users
    Indistinguishable: Attribute-wise Unlearning in Recommender Systems", MM 2023 (equation numbers not checked). With
    e_u the embedding of user u, a_u the user's group, and sums over all pairs of users of different groups and of the
    same group, the objective is::

        sum_{a_i != a_j} |e_i - e_j|^2 - gamma sum_{a_i = a_j} |e_i - e_j|^2

    The authors' program does not have the second sum (gamma = 0, the default here). At the minimum of the first sum all
    users have the same embedding. If ``u2u_repulsion``, which is gamma, is above 0, the objective has no minimum: only
    the number of Adam's steps and the regulariser limit the change. Both sums follow from the closed form ``sum_{i < j
    of n} |e_i - e_j|^2 = n sum_i |e_i|^2 - |sum_i e_i|^2``, so a step takes O(users x d). With more than two groups,
    all are pulled together.

    The result still reveals the attribute: each group ends as a narrow cluster with its own centre, and decision trees
    can separate the clusters.
    """

    name = "u2u"
    Hyper = U2uHyper
    hyper: U2uHyper

    def objective(
        self, view: str, vectors: torch.Tensor, groups: Sequence[torch.Tensor], at: tuple[int, int]
    ) -> tuple[float, torch.Tensor]:
        """Return the objective of the class's docstring, a sum over pairs of protected users, and its gradient.

        Args:
            view: name of the matrix of user embeddings, such as ``table``; not used.
            vectors: float [n_users, d], these embeddings, without an autograd graph.
            groups: int64 user ids of the protected users in each group; two groups or more, none empty.
            at: not used.

        Returns:
            The value to minimise, and its gradient with respect to ``vectors``, float [n_users, d].
        """
        return user_to_user(vectors, groups, self.hyper.u2u_repulsion)


def user_to_user(
    vectors: torch.Tensor, groups: Sequence[torch.Tensor], repulsion: float = 0.0
) -> tuple[float, torch.Tensor]:
    """Return the objective of :class:`U2u`, a sum over pairs of users, and its gradient.

    Args:
        vectors: float [n_users, d], user embeddings.
        groups: int64 user ids of each group.
        repulsion: weight gamma of the sum over pairs of the same group.

    Returns:
        The sum, and its gradient with respect to ``vectors``, float [n_users, d].
    """
    everybody = torch.cat(list(groups))
    gradient = torch.zeros_like(vectors)
    value = _add_pairs(vectors, everybody, 1.0, gradient)
    for people in groups:
        value += _add_pairs(vectors, people, -(1.0 + repulsion), gradient)
    return value, gradient


def _add_pairs(vectors: torch.Tensor, people: torch.Tensor, times: float, gradient: torch.Tensor) -> float:
    """Return a multiple of the sum of squared distances over all pairs of some users, and add its gradient in place.

    Args:
        vectors: float [n_users, d], user embeddings.
        people: int64, ids of the users.
        times: the factor by which the sum and its gradient are multiplied.
        gradient: float [n_users, d], changed in place: the gradient with respect to ``vectors`` is added.

    Returns:
        The multiplied sum.
    """
    own, n = vectors[people].double(), len(people)
    total = own.sum(dim=0)
    gradient.index_add_(0, people, (2 * times * (n * own - total)).to(gradient.dtype))
    return times * float(n * own.square().sum() - total.square().sum())
