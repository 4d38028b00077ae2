"""Base classes of algorithms whose parameter update is the total change by some optimiser steps on the model."""

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
"""Largest number of examples in an optimiser step, as in the ERASE benchmark."""


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
    """Makes and counts the optimiser steps with which an algorithm answers requests, and supplies the batches for them.

    Training examples are given by their identifiers (int64), see :class:`~recbole.unlearning.case.Case`.

    Args:
        case: the requests to answer.

    Attributes:
        case: the requests to answer.
        taken: number of steps made so far.
        model: the model, which the steps change in place.
        dataset: the data, in which the requests' rows (interactions) are already marked as forgotten.
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
            rates: parameter name to a tensor of the parameter's shape, by which the parameter's gradient is multiplied;
                ``None`` multiplies nothing.
            longest: largest Euclidean norm of the gradient over all parameters, to which it is clipped; ``None`` does
                not clip.

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
            examples: int64, identifiers of the examples.
            name: name of the random generator that draws the order.
            epoch: number of the epoch; another epoch has another order.

        Yields:
            int64, identifiers of the examples in one batch.
        """
        order = self.case.stream(name, epoch).permutation(examples)
        for start in range(0, len(order), BATCH_SIZE):
            yield order[start : start + BATCH_SIZE]

    def mean_loss(self, examples: np.ndarray, name: str, epoch: int = 0) -> torch.Tensor:
        """Return the mean training loss of some examples, a scalar tensor, with newly drawn negatives.

        Args:
            examples: int64, identifiers of the examples, at least one.
            name: part of the name of the random generator that draws the negatives.
            epoch: number of the epoch; another epoch has other negatives.
        """
        return self.mean_loss_of(self.dataset.collate(examples), name, epoch, int(examples[0]))

    def mean_loss_of(self, batch: Interaction, *name: str | int) -> torch.Tensor:
        """Return the mean training loss over the rows of a batch, a scalar tensor.

        Args:
            batch: positives, to which as many negatives are added as in training.
            name: strings and numbers, the name of the random generator that draws the negatives.
        """
        batch = self.case.with_negatives(batch, self.case.bench.negatives.times, *name)
        return self.model.loss_sum(batch.to(self.case.bench.device)) / len(batch)

    def forgotten(self) -> Iterator[Interaction]:
        """Yield batches of at most 256 examples: those that contained a forgotten row, as they were before."""
        forget = self.case.change.before
        for start in range(0, len(forget), BATCH_SIZE):
            yield forget[start : start + BATCH_SIZE]


class DescentAlgorithm(StepAlgorithm):
    """Base class of algorithms that train the model for some optimiser steps; the total change is their update.

    Typically some steps erase, such as gradient ascent on forgotten examples, and others repair, on retained (not
    forgotten) examples. If the time runs out during these steps, or a number overflows, the model stays as it was.
    Dropout is off, and batch normalisation works as in evaluation. Subclasses implement :meth:`descend`; they create
    new optimisers for each request and use no learning-rate scheduler.
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
        """Return as a step by how much :meth:`descend` changes the parameters, and restore the model.

        Args:
            case: the requests to answer.
            observed: not used.

        Raises:
            NotApplied: the time is up; its status is ``timeout``.
        """
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

    Only the embedding tables and weight matrices that the model's method ``erasable`` names are re-initialised or
    perturbed.
    """

    def check(self, model: AbstractRecommender) -> None:
        """Raise an error for a model without trained parameters, or without ``erasable`` tables and matrices.

        Raises:
            UserError: the model has none of them.
        """
        super().check(model)
        if not model.erasable():
            raise UserError(
                f"{self.name} re-initialises or perturbs trained embedding tables and weight matrices, and "
                f"{type(model).__name__} has none (its method erasable() returns no name); choose another --model or "
                "--unlearning_algorithm"
            )

    def reached(self, batch: Interaction) -> dict[str, torch.Tensor]:
        """Return which rows of the erasable tables and matrices represent the users and items of a batch.

        In a table that is listed in the model's ``lookups``, these are the rows of the batch's user and item ids; in
        all other parameters, all rows. Padding rows are left out.

        Args:
            batch: training examples.

        Returns:
            Parameter name to int64 row indices, ascending. For a matrix of which only some entries are stored (the
            model's ``entry_tables``), the positions of the stored entries of these rows instead.
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
