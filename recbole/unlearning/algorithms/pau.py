"""PAU: attribute unlearning that makes the coding rates of user groups and of all users equal."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from recbole.config import Config
from recbole.data import Dataset
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.hyper import ProtectHyper, hyperparameter
from recbole.unlearning.protection import ProtectionAlgorithm


@dataclass(frozen=True)
class PauHyper(ProtectHyper):
    """Hyper-parameters of the algorithm ``pau``; the help text of each field describes it."""

    pau_epsilon: float = hyperparameter(
        0.5, "precision of the coding rates, for embeddings scaled to a mean squared length of 1", above=0
    )
    pau_weight: float = hyperparameter(2.0, "weight of preserving the coding rate of all embeddings; above 1", above=1)


class Pau(ProtectionAlgorithm):
    r"""Attribute unlearning after training: makes coding each user group separately as costly as coding all jointly.

    A group is the set of all users with the same value of an attribute, such as gender. The text of PAU (WWW 2025) was
    not available. Its objective is known from secondary sources only, so the signs are derived. R is the rate of coding
    the embeddings z of m users with precision epsilon, and R_c that of coding each group separately (Y. Ma et al.,
    "Segmentation of Multivariate Mixed Data via Lossy Data Coding and Compression", PAMI 2007; equation numbers not
    checked). S is the mean of z z^T over all users, S_j that over the m_j users of group j, D the number of columns::

        R = 1/2 logdet(I + D / epsilon^2 S)          R_c = sum_j (m_j / m) 1/2 logdet(I + D / epsilon^2 S_j)

    S is the mean of the S_j with weights m_j / m, and logdet is strictly concave on positive definite matrices, so
    ``R_c <= R`` by Jensen's inequality, with equality if and only if all S_j are equal. To hide the groups, R - R_c
    must become zero, without a decrease of R, which measures how much users differ::

        minimise  -R_c + lambda |R - b|,  b the R of the model before unlearning

    PAU also fixes the groups' norms. With lambda > 1 this is not necessary: scaling all embeddings up raises R_c by no
    more than it raises R, as (I + X)^-1 is operator convex, so scaling R beyond b never lowers the objective.
    Embeddings are divided by the root of their mean squared length before unlearning (attribute ``base``). The S_j do
    not depend on the sign of a group's mean: two groups with means m and -m can have equal S_j. A constant 1 is
    therefore appended to each embedding, to include the means in the S_j. A step takes O(users x d^2 + groups x d^3).
    """

    name = "pau"
    Hyper = PauHyper
    hyper: PauHyper

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.base = {name: view.values().clone() for name, view in self.views.items()}

    def objective(
        self, view: str, vectors: torch.Tensor, groups: Sequence[torch.Tensor], at: tuple[int, int]
    ) -> tuple[float, torch.Tensor]:
        """Return the value to minimise for one matrix of user embeddings, and its gradient, float [n_users, d].

        Args:
            view: name of the matrix, such as ``table``.
            vectors: float [n_users, d], the embeddings, without an autograd graph.
            groups: int64 user ids of the protected users in each group; two groups or more, none empty.
            at: not used.
        """
        people = torch.cat(list(groups))
        base, places = (
            self.base[view][people],
            list(torch.arange(len(people), device=people.device).split([len(one) for one in groups])),
        )
        scale = 1 / max(float(base.square().sum(dim=1).mean()) ** 0.5, torch.finfo(base.dtype).tiny)
        with torch.enable_grad():
            own = vectors[people].requires_grad_(True)
            apart = rates(own * scale, places, self.hyper.pau_epsilon)
            whole = rates(base * scale, places, self.hyper.pau_epsilon)[0].detach()
            total = -apart[1] + self.hyper.pau_weight * (apart[0] - whole).abs()
        (gradient,) = torch.autograd.grad(total, own)
        return float(total.detach()), torch.zeros_like(vectors).index_add_(0, people, gradient)


def rates(vectors: torch.Tensor, groups: Sequence[torch.Tensor], epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the joint coding rate R and the group-wise rate R_c of :class:`Pau`, as differentiable scalar tensors.

    Args:
        vectors: float [m, d], the scaled embeddings of the protected users.
        groups: for each group, the int64 indices of its users' rows in ``vectors``.
        epsilon: precision of the coding.
    """
    points = torch.cat([vectors.new_ones(len(vectors), 1), vectors], dim=1)
    factor, eye = points.shape[1] / epsilon**2, torch.eye(points.shape[1], dtype=torch.float64, device=points.device)

    def rate(some: torch.Tensor) -> torch.Tensor:
        moment = (some.T @ some).double() / len(some)
        return torch.logdet(eye + factor * moment) / 2

    apart = [len(own) / len(points) * rate(points[own]) for own in groups]
    return rate(points), torch.stack(apart).sum()
