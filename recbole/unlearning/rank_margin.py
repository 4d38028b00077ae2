r"""What holds recommendations where people's vectors move: the order of everybody's original list.

With r_u(1..20) the items that the original model recommends to person u, and s the scores of the model that moves::

    sum_u sum_{n < 20} max(0, s(u, r_u(n + 1)) - s(u, r_u(n)) + 0.05)
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from recbole.data import Dataset
from recbole.evaluator.asked import Asked
from recbole.model.abstract_recommender import AbstractRecommender, GeneralRecommender

LENGTH, MARGIN = 20, 0.05
_PEOPLE_AT_ONCE = 4096
_ASKED_AT_ONCE = 256

Gradients = dict[str, torch.Tensor]


class RankMargin:
    """The regulariser of a model, with the lists that the model recommends when this is made.

    Args:
        model: in evaluation mode.
        dataset: under a mask that stays as it is; a list holds nothing that the person has.
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
        """Return the sum, and its gradients in some parameters.

        Args:
            parameters: by name.
            people: int64 ids, ascending, of those whose lists count; everybody's by default.
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
        """Yield lists, int64 [some, 20], and their scores, differentiable, some people at a time."""
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
        """Return the sum and its gradients where scores are inner products; nothing is kept but two matrices."""
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
    """Return the gradients in parameters of something whose gradients in matrices that are made of them are known."""
    pairs = [pair for pair in zip(made, gradients, strict=True) if pair[0].requires_grad]
    outputs, seeds = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    parts = torch.autograd.grad(outputs, list(parameters.values()), seeds, allow_unused=True)
    found = zip(parameters.items(), parts, strict=True)
    return {name: torch.zeros_like(p) if part is None else part for (name, p), part in found}


def _hinges(scores: torch.Tensor, lists: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum of the hinges of lists, int64 [rows, 20], and its gradient in their scores, float [rows, 20]."""
    gap = scores[:, 1:] - scores[:, :-1] + MARGIN
    active = (gap.detach() > 0) & (lists[:, 1:] > 0)
    slope = torch.zeros_like(scores)
    slope[:, 1:] += active
    slope[:, :-1] -= active.to(slope.dtype)
    return (gap * active).sum(), slope
