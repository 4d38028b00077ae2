"""User views: matrices with one row per user that represent the users in a model, such as the user embeddings.

Attribute-inference attacks predict a user's attribute, such as the gender, from such a row. Algorithms of attribute
unlearning change the parameters behind a view so that this fails.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class UserView:
    """A matrix with one row per user that represents the users in a model.

    Attributes:
        vectors: function without arguments that returns the matrix, float [n_users, d], differentiable in
            ``parameters``. Row 0 (padding) and the rows of users for whom the model has no input are meaningless.
        parameters: names of the parameters that attribute unlearning changes to protect this representation.
        table: True if the matrix is itself a parameter of the model (an embedding table), False if it is computed.
        settled: function without arguments that computes everything in ``vectors`` that does not depend on
            ``parameters``, for the model in evaluation mode, and returns a faster replacement of ``vectors``. The
            results are equal up to rounding as long as only ``parameters`` change. None if there is no faster function.
    """

    vectors: Callable[[], torch.Tensor]
    parameters: tuple[str, ...]
    table: bool = True
    settled: Callable[[], Callable[[], torch.Tensor]] | None = None

    @torch.no_grad()
    def values(self) -> torch.Tensor:
        """Return the matrix of user vectors, float [n_users, d], detached."""
        return self.vectors().detach()
