"""User views: the matrices that represent users in a model, which attackers read and protections change."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class UserView:
    """A matrix with one row per user.

    Attributes:
        vectors: returns the matrix, float [n_users, d], differentiable in ``parameters``. Row 0 (padding) and the rows
            of users for whom the model has no input are meaningless.
        parameters: names of the parameters that a protection of the view changes.
        table: whether the matrix is itself a table of parameters, rather than computed from some.
    """

    vectors: Callable[[], torch.Tensor]
    parameters: tuple[str, ...]
    table: bool = True

    @torch.no_grad()
    def values(self) -> torch.Tensor:
        """Return the matrix, float [n_users, d], detached."""
        return self.vectors().detach()
