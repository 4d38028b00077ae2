r"""The rank-margin regulariser, which preserves the order of every user's original recommendations.

Let r_u(1), ..., r_u(20) be the items that the original model recommends to user u, best first, and s the scores of the
model that is being changed. The regulariser is::

    sum_u sum_{n < 20} max(0, s(u, r_u(n + 1)) - s(u, r_u(n)) + 0.05)
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from recbole.data import Dataset
from recbole.evaluator.asked import Asked
from recbole.model.abstract_recommender import AbstractRecommender, GeneralRecommender

LENGTH, MARGIN = 20, 0.05
"""Number of recommended items per user, and the margin between the scores of two successive items."""

_PEOPLE_AT_ONCE = 4096
_ASKED_AT_ONCE = 256

Gradients = dict[str, torch.Tensor]
"""Parameter name to gradient, of the parameter's shape."""


class RankMargin:
    """The rank-margin regulariser of one model, with the model's original top-20 lists.

    Args:
        model: the model, in evaluation mode. Its lists are computed at once, and later changes do not affect them.
        dataset: the data, whose mask of forgotten rows must not change. A user's list has no items of the user's
            history.
    """

    def __init__(self, model: AbstractRecommender, dataset: Dataset) -> None:
        self.model = model
        self.rows = dataset.exposure_rows(np.arange(1, dataset.n_users))
        with torch.no_grad():
            lists = Asked(model).lists(self.rows, LENGTH)
        device = next(model.parameters()).device
        self.lists = torch.from_numpy(lists[:, :LENGTH].copy()).clamp_min_(0).to(device)
        self.entity = torch.from_numpy(self.rows.entity).to(device)

    def value_and_gradients(
        self, parameters: Mapping[str, torch.nn.Parameter], people: torch.Tensor | None = None
    ) -> tuple[float, Gradients]:
        """Return the regulariser's value, and its gradients.

        Args:
            parameters: the parameters to differentiate by, by name.
            people: int64 user ids, ascending, whose terms are included; ``None`` for all users.

        Returns:
            The sum over these users, and parameter name to gradient (of the parameter's shape).
        """
        rows = torch.arange(len(self.entity), device=self.entity.device)
        if people is not None:
            rows = rows[torch.isin(self.entity, people)]
        model = self.model
        if isinstance(model, GeneralRecommender):
            with torch.enable_grad():
                vectors = model.vectors()
            if vectors is not None:
                return self._of_vectors(vectors, parameters, rows)
        value, found = 0.0, {name: torch.zeros_like(p) for name, p in parameters.items()}
        for lists, scores in self._scores(rows):
            total = _hinges(scores, lists)[0]
            value += float(total.detach())
            parts = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
            for name, part in zip(found, parts, strict=True):
                if part is not None:
                    found[name] += part
        return value, found

    def _scores(self, rows: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield item ids (int64 [n, 20]) and differentiable scores (float [n, 20]) of lists, for n users at a time.

        ``rows`` holds the users' row indices in :attr:`lists` (int64).
        """
        model = self.model
        for some in rows.split(_ASKED_AT_ONCE):
            lists = self.lists[some]
            with torch.enable_grad():
                if isinstance(model, GeneralRecommender):
                    yield lists, model.list_scores(self.entity[some], lists)
                else:
                    batch = self.rows.inputs[some.cpu().numpy()].to(lists.device)
                    yield lists, model.logits(batch).gather(1, lists)

    def _of_vectors(
        self,
        vectors: tuple[torch.Tensor, torch.Tensor],
        parameters: Mapping[str, torch.nn.Parameter],
        rows: torch.Tensor,
    ) -> tuple[float, Gradients]:
        """Return value and gradients for a model whose scores are inner products of user and item embeddings.

        Args:
            vectors: user matrix [n_users, d] and item matrix [n_items, d], with their autograd graphs.
            parameters: the parameters to differentiate by, by name.
            rows: int64, indices of the users' lists.
        """
        users, items = (matrix.detach() for matrix in vectors)
        of_users, of_items = torch.zeros_like(users), torch.zeros_like(items)
        value = 0.0
        for some in rows.split(_PEOPLE_AT_ONCE):
            lists, people = self.lists[some], self.entity[some]
            own, theirs = users[people], items[lists]
            total, slope = _hinges(torch.einsum("ud,und->un", own, theirs), lists)
            value += float(total)
            of_users.index_add_(0, people, torch.einsum("un,und->ud", slope, theirs))
            if vectors[1].requires_grad:
                of_items.index_add_(0, lists.flatten(), (slope.unsqueeze(2) * own.unsqueeze(1)).flatten(0, 1))
        return value, through(vectors, (of_users, of_items), parameters)


def through(
    made: tuple[torch.Tensor, ...], gradients: tuple[torch.Tensor, ...], parameters: Mapping[str, torch.nn.Parameter]
) -> Gradients:
    """Apply the chain rule: return gradients in parameters, given gradients in matrices computed from them.

    Args:
        made: the matrices, with their autograd graphs.
        gradients: the gradient in each matrix, of the matrix's shape.
        parameters: the parameters to differentiate by, by name.

    Returns:
        Parameter name to gradient; zeros for a parameter that no matrix depends on.
    """
    pairs = [pair for pair in zip(made, gradients, strict=True) if pair[0].requires_grad]
    outputs, seeds = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    parts = torch.autograd.grad(outputs, list(parameters.values()), seeds, allow_unused=True)
    found = zip(parameters.items(), parts, strict=True)
    return {name: torch.zeros_like(p) if part is None else part for (name, p), part in found}


def _hinges(scores: torch.Tensor, lists: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum of all hinge terms, and its gradient in the scores, float [n, 20].

    Args:
        scores: float [n, 20], scores of the lists' items.
        lists: int64 [n, 20], item ids; 0 is padding, which contributes no term.
    """
    gap = scores[:, 1:] - scores[:, :-1] + MARGIN
    active = (gap.detach() > 0) & (lists[:, 1:] > 0)
    slope = torch.zeros_like(scores)
    slope[:, 1:] += active
    slope[:, :-1] -= active.to(slope.dtype)
    return (gap * active).sum(), slope
