"""User views: matrices that represent users in a model. Attribute-inference attacks read them.

Algorithms of attribute unlearning change the parameters behind a view, to protect the users.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class UserView:
    """A matrix with one row per user that represents the users in a model.

    Attributes:
        vectors: returns the matrix, float [n_users, d], differentiable in ``parameters``. Row 0 (padding) and the rows
            of users for whom the model has no input are meaningless.
        parameters: names of the parameters that attribute unlearning changes to protect this representation.
        table: whether the matrix is itself a table of parameters, rather than computed from parameters.
        settled: returns a faster function for ``vectors``, equal up to rounding as long as only ``parameters`` change:
            it computes all else once, for the model in evaluation mode. None if there is none.
    """

    vectors: Callable[[], torch.Tensor]
    parameters: tuple[str, ...]
    table: bool = True
    settled: Callable[[], Callable[[], torch.Tensor]] | None = None

    @torch.no_grad()
    def values(self) -> torch.Tensor:
        """Return the matrix of user vectors, float [n_users, d], detached."""
        return self.vectors().detach()
