r"""The rank-margin regulariser, a penalty that preserves the order of every user's original recommendations.

Let r_u(1), ..., r_u(20) be the items that the original model (before it is changed) recommends to user u, best first.
Let s(u, i) be the score of item i for user u in the model that is being changed. The penalty is::

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
    """Computes the rank-margin penalty of a model, relative to the top-20 lists that it has when this object is made.

    Args:
        model: the model, in evaluation mode. Later changes of the model do not affect the top-20 lists.
        dataset: the data. Which of its rows are forgotten must not change. Items of a user's history are not in the
            user's list. Users without enough history for a ranking have no list.

    Attributes:
        rows: the evaluation rows, one for each user with a list.
        lists: int64 [rows, 20], item ids of the lists, best first; 0 fills up lists that are shorter.
        entity: int64 [rows], the user id of each list.
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
        """Return the penalty for the model as it is now, and the penalty's gradients.

        Args:
            parameters: the parameters to differentiate by, by name.
            people: int64, ids of the users whose terms are included; ``None`` for all users.

        Returns:
            The sum over these users (0 or more; 0 if all lists keep their order with the margin), and the gradients:
            parameter name to a tensor of the parameter's shape.
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
        """Yield the item ids of top-20 lists and the items' differentiable scores now, for n users at a time.

        Args:
            rows: int64, the users' row indices in :attr:`lists`.

        Yields:
            Item ids, int64 [n, 20], and scores, float [n, 20].
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
        """Return penalty and gradients for a model whose scores are inner products of user and item embeddings.

        Args:
            vectors: user matrix [n_users, d] and item matrix [n_items, d], with their autograd graphs.
            parameters: the parameters to differentiate by, by name.
            rows: int64, the users' row indices in :attr:`lists`.
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
    """Return gradients with respect to parameters by the chain rule, given those with respect to computed matrices.

    Args:
        made: matrices that were computed from the parameters, with their autograd graphs.
        gradients: for each matrix, the gradient of a scalar with respect to it, of the matrix's shape.
        parameters: the parameters to differentiate by, by name.

    Returns:
        Parameter name to the gradient of the scalar; zeros for a parameter that no matrix depends on.
    """
    pairs = [pair for pair in zip(made, gradients, strict=True) if pair[0].requires_grad]
    outputs, seeds = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    parts = torch.autograd.grad(outputs, list(parameters.values()), seeds, allow_unused=True)
    found = zip(parameters.items(), parts, strict=True)
    return {name: torch.zeros_like(p) if part is None else part for (name, p), part in found}


def _hinges(scores: torch.Tensor, lists: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the penalty, the sum of the terms ``max(0, ...)``, and its gradient with respect to the scores.

    Args:
        scores: float [n, 20], scores of the items in each list.
        lists: int64 [n, 20], item ids of each list; 0 is padding, which contributes no term.

    Returns:
        The sum, a scalar tensor, and the gradient, float [n, 20].
    """
    gap = scores[:, 1:] - scores[:, :-1] + MARGIN
    active = (gap.detach() > 0) & (lists[:, 1:] > 0)
    slope = torch.zeros_like(scores)
    slope[:, 1:] += active
    slope[:, :-1] -= active.to(slope.dtype)
    return (gap * active).sum(), slope
