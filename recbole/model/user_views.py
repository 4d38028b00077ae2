"""By what a model knows a person: the matrices that an attacker would look at, and a protection has to change."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class UserView:
    """A matrix with a row for each person.

    Attributes:
        vectors: returns it, float [n_users, d], differentiable in ``parameters``; the row of the padding (0), and of
            people whom the model cannot be asked about, means nothing.
        parameters: names of the parameters that a protection of the view moves.
        table: whether it is a table of parameters itself, and nothing is computed.
    """

    vectors: Callable[[], torch.Tensor]
    parameters: tuple[str, ...]
    table: bool = True

    @torch.no_grad()
    def values(self) -> torch.Tensor:
        """Return the matrix without a gradient."""
        return self.vectors().detach()
