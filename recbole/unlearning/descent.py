"""Base classes of first-order algorithms, whose optimiser steps on the model add up to one parameter update."""

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
    """Context manager that restores a model's parameters, buffers and training mode at its end, even after an error.

    Inside the block dropout is off, and computations are in full float32 precision.
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
    """Makes and counts the optimiser steps for the requests of one case, and supplies their batches.

    Args:
        case: the requests to answer.

    Attributes:
        case: the requests to answer.
        taken: number of steps made so far.
        model: the model, which the steps change in place.
        dataset: the data, whose mask of forgotten rows includes the requests' rows.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.taken = case, 0
        self.model, self.dataset = case.bench.model, case.bench.dataset

    def check_time(self) -> None:
        """Raise an exception if the requests' time is up.

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
            optimizer: the optimiser of the model's parameters.
            loss: returns the loss to decrease, a scalar tensor.
            rates: parameter name to the factors by which its gradient is multiplied, of the parameter's shape; ``None``
                multiplies nothing.
            longest: Euclidean norm to which the gradient over all parameters is clipped; ``None`` does not clip.

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
        """Return the mean training loss of some examples, a scalar tensor, with newly drawn negatives.

        Args:
            examples: int64, numbers of the examples, at least one.
            name: name of the random stream for negatives.
            epoch: number of the epoch, which changes the negatives.
        """
        return self.mean_loss_of(self.dataset.collate(examples), name, epoch, int(examples[0]))

    def mean_loss_of(self, batch: Interaction, *name: str | int) -> torch.Tensor:
        """Return the mean training loss over the rows of a batch, a scalar tensor.

        Args:
            batch: positives, to which as many negatives are added as in training.
            name: strings and numbers that name the random stream for negatives.
        """
        batch = self.case.with_negatives(batch, self.case.bench.negatives.times, *name)
        return self.model.loss_sum(batch.to(self.case.bench.device)) / len(batch)

    def forgotten(self) -> Iterator[Interaction]:
        """Yield the examples that contained a forgotten row, as before forgetting, in batches of at most 256."""
        forget = self.case.change.before
        for start in range(0, len(forget), BATCH_SIZE):
            yield forget[start : start + BATCH_SIZE]


class DescentAlgorithm(StepAlgorithm):
    """Base class of algorithms that train the model for some optimiser steps and return the total change as a step.

    Some steps erase, such as gradient ascent on forgotten examples, and others repair, on retained examples. If the
    time runs out during these steps, or a number overflows, the model stays as it was. Dropout is off, and batch
    normalisation works as in evaluation. Optimisers and their state are created for each request, and no learning-rate
    scheduler is used. Subclasses implement :meth:`descend`.
    """

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.sgd(1.0).step()  # changes nothing; makes torch import what it needs before the first request is timed

    @abstractmethod
    def descend(self, descent: Descent) -> dict[str, Any]:
        """Change ``self.model`` in place, mainly by :meth:`Descent.take`.

        Args:
            descent: makes optimiser steps for the requests, and supplies their batches.

        Returns:
            Counts to record in the outcome's ``work``: name to number.
        """

    def solve(self, case: Case, observed: None) -> Step:
        """Return the change that :meth:`descend` makes to the parameters as a step; the model itself is restored."""
        whole, descent = Subspace(self.model), Descent(case)
        before = whole.vector()
        with preserved(self.model):
            work = self.descend(descent)
            delta = whole.vector() - before
        return Step(whole, delta, work | {"n_steps": descent.taken})

    def sgd(self, learning_rate: float, momentum: float = 0.9) -> torch.optim.SGD:
        """Return a new SGD optimiser over the trained parameters, without weight decay."""
        parameters = dict(self.model.named_parameters())
        return SGD([parameters[n] for n in trained(self.model)], lr=learning_rate, momentum=momentum)


class ErasingAlgorithm(DescentAlgorithm):
    """Base class of algorithms that re-initialise or perturb weights, and then fine-tune on retained examples.

    Only the embedding tables and weight matrices that the model's ``erasable`` returns are re-initialised or perturbed.
    """

    def check(self, model: AbstractRecommender) -> None:
        """Refuse a model without trained parameters, or without ``erasable`` tables and matrices.

        Raises:
            UserError: the model has none.
        """
        super().check(model)
        if not model.erasable():
            raise UserError(
                f"{self.name} re-initialises or perturbs trained embedding tables and weight matrices, and "
                f"{type(model).__name__} has none: its method erasable() returns no name"
            )

    def reached(self, batch: Interaction) -> dict[str, torch.Tensor]:
        """Return which rows of the erasable tables and matrices represent a batch's examples.

        In a table that the model's ``lookups`` list, these are the rows of the batch's user and item ids; in other
        parameters, all rows. Padding rows are left out.

        Returns:
            Parameter name to int64 row indices, ascending. For a matrix of which only some entries are stored (the
            model's ``entry_tables``), the values are the positions of the stored entries in these rows instead.
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
