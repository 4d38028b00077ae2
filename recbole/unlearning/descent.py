"""The base of first-order algorithms: optimiser steps on the model, whose sum becomes one parameter update."""

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer.optimizers import SGD
from recbole.unlearning.algorithm import Step, StepAlgorithm
from recbole.unlearning.case import Case
from recbole.unlearning.noise import padding_rows
from recbole.unlearning.second_order.curvature import second_order
from recbole.unlearning.second_order.subspace import Subspace, trained
from recbole.utils import UserError

BATCH_SIZE = 256
"""Largest number of examples in an optimiser step, as in ERASE."""


@contextlib.contextmanager
def preserved(model: AbstractRecommender) -> Iterator[None]:
    """Let a block change a model, and restore the model's parameters, buffers and mode afterwards, even after errors.

    Inside the block dropout is off and computations are in full precision.
    """
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        with second_order(model):
            yield
    finally:
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                tensor.copy_(before[name])


class Descent:
    """The optimiser steps of one case: makes them, counts them, and supplies their batches.

    Args:
        case: the requests to answer.

    Attributes:
        case: the requests to answer.
        taken: number of steps made so far.
        model: the model, which the steps change.
        dataset: the data under a mask that includes the requests' rows.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.taken = case, 0
        self.model, self.dataset = case.bench.model, case.bench.dataset

    def check_time(self) -> None:
        """Stop if the case's time is up.

        Raises:
            NotApplied: the time is up; its status is ``timeout``.
        """
        self.case.check_time(f"after {self.taken} optimisation steps")

    def take(
        self,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[], torch.Tensor],
        rates: Mapping[str, torch.Tensor] | None = None,
        longest: float | None = None,
    ) -> None:
        """Make one optimiser step on a loss.

        Args:
            optimizer: makes the step.
            loss: returns the loss to decrease, a scalar tensor.
            rates: parameter name to a factor for each entry of its gradient; ``None`` scales nothing.
            longest: Euclidean norm to which the gradient is clipped; ``None`` does not clip.

        Raises:
            NotApplied: the time is up; its status is ``timeout``.
        """
        self.check_time()
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        for name, rate in (rates or {}).items():
            parameter = self.model.get_parameter(name)
            if parameter.grad is not None:
                parameter.grad = parameter.grad * rate
        if longest is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), longest)
        optimizer.step()
        self.taken += 1

    def batches(self, examples: np.ndarray, name: str, epoch: int = 0) -> Iterator[np.ndarray]:
        """Yield training examples in random order, in batches of at most 256.

        Args:
            examples: int64, numbers of the examples.
            name: name of the random stream for the order.
            epoch: number of the epoch, which changes the order.

        Yields:
            int64, numbers of a batch's examples.
        """
        order = self.case.stream(name, epoch).permutation(examples)
        for start in range(0, len(order), BATCH_SIZE):
            yield order[start : start + BATCH_SIZE]

    def mean_loss(self, examples: np.ndarray, name: str, epoch: int = 0) -> torch.Tensor:
        """Return the mean training loss over the rows of a batch, with newly drawn negatives.

        Args:
            examples: int64, numbers of the batch's examples, at least one.
            name: name of the random stream for negatives.
            epoch: number of the epoch, which changes the negatives.
        """
        return self.mean_loss_of(self.dataset.collate(examples), name, epoch, int(examples[0]))

    def mean_loss_of(self, batch: Interaction, *name: str | int) -> torch.Tensor:
        """Return the mean training loss over the rows of a batch.

        Args:
            batch: positives, to which negatives are added.
            name: strings and numbers that name the random stream for negatives.
        """
        batch = self.case.with_negatives(batch, self.case.bench.negatives.times, *name)
        return self.model.loss_sum(batch.to(self.case.bench.device)) / len(batch)

    def forgotten(self) -> Iterator[Interaction]:
        """Yield the examples that contained a forgotten row, as they were before, in batches of at most 256."""
        forget = self.case.change.before
        for start in range(0, len(forget), BATCH_SIZE):
            yield forget[start : start + BATCH_SIZE]


class DescentAlgorithm(StepAlgorithm):
    """Makes optimiser steps that erase and steps that repair, and returns their sum as one :class:`Step`.

    If a request runs out of time between erasing and repairing, or a number overflows, the model stays as it was.
    Dropout is off, and batch normalisation works as in evaluation. Optimisers and their state are created for each
    request, and no learning-rate scheduler is used. Subclasses implement :meth:`descend`.
    """

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.sgd(1.0).step()  # changes nothing; makes torch import what it needs before the first request is timed

    @abstractmethod
    def descend(self, descent: Descent) -> dict[str, Any]:
        """Change ``self.model``, mainly by :meth:`Descent.take`.

        Returns:
            What to record in the outcome's ``work``: key to number.
        """

    def solve(self, case: Case, observed: None) -> Step:
        """Return the change that :meth:`descend` makes to the parameters, as a step."""
        whole, descent = Subspace(self.model), Descent(case)
        before = whole.vector()
        with preserved(self.model):
            work = self.descend(descent)
            delta = whole.vector() - before
        return Step(whole, delta, work | {"n_steps": descent.taken})

    def sgd(self, learning_rate: float, momentum: float = 0.9) -> torch.optim.SGD:
        """Return a new SGD optimiser over the trained parameters."""
        parameters = dict(self.model.named_parameters())
        return SGD([parameters[n] for n in trained(self.model)], lr=learning_rate, momentum=momentum)


class ErasingAlgorithm(DescentAlgorithm):
    """Erases in the model's ``erasable`` tables and matrices, and then repairs."""

    def check(self, model: AbstractRecommender) -> None:
        """Refuse a model without trained parameters, or without ``erasable`` tables and matrices.

        Raises:
            UserError: the model has none.
        """
        super().check(model)
        if not model.erasable():
            raise UserError(
                f"{self.name} erases in trained tables and matrices, and {type(model).__name__} has none (erasable)"
            )

    def reached(self, batch: Interaction) -> dict[str, torch.Tensor]:
        """Return the rows of the erasable tables and matrices that belong to a batch's examples.

        In a table that the model's ``lookups`` list, these are the rows of the batch's ids; in other parameters, all
        rows. Padding rows are left out. For a matrix of which single entries are stored (``entry_tables``), they are
        the indices of the stored entries in these rows.

        Returns:
            Parameter name to int64 indices, ascending.
        """
        lookups, padding, found = self.model.lookups(), padding_rows(self.model), {}
        for name in self.model.erasable():
            rows = torch.arange(len(self.model.get_parameter(name)))
            if name in lookups:
                columns = [batch[field].reshape(-1) for field in lookups[name] if field in batch]
                ids = torch.cat([rows[:0], *columns])
                rows = torch.unique(ids[ids > 0])
                if name in self.model.entry_tables:
                    rows = self.model.entries_of_rows(name, rows.to(self.device)).cpu()
            found[name] = rows[rows != padding.get(name, -1)].to(self.device)
        return found
