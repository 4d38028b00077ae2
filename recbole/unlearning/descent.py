"""What first-order algorithms share: optimisation steps that are made on the model and then taken back."""

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
"""Examples of an optimisation step, as in ERASE."""


@contextlib.contextmanager
def preserved(model: AbstractRecommender) -> Iterator[None]:
    """Lets a model be changed, and puts parameters, buffers and mode back as they were, whatever happens."""
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
    """The optimisation steps of a case, counted, and the batches that they are of.

    Attributes:
        case: the one.
        taken: how many steps there were so far.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.taken = case, 0
        self.model, self.dataset = case.bench.model, case.bench.dataset

    def check_time(self) -> None:
        """Raise ``NotApplied`` when the case's time is up."""
        self.case.check_time(f"after {self.taken} optimisation steps")

    def take(
        self,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[], torch.Tensor],
        rates: Mapping[str, torch.Tensor] | None = None,
        longest: float | None = None,
    ) -> None:
        """Make one step down the loss that ``loss()`` returns.

        Args:
            optimizer: whose step it is.
            loss: returns a scalar.
            rates: what scales the entries of gradients, by the parameter's name.
            longest: cut the gradient to this Euclidean length; by default it is as long as it is.

        Raises:
            NotApplied: when the time is up.
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
        """Yield training examples (int64) in batches of at most 256, as numbers, in an order of the case's own."""
        order = self.case.stream(name, epoch).permutation(examples)
        for start in range(0, len(order), BATCH_SIZE):
            yield order[start : start + BATCH_SIZE]

    def mean_loss(self, examples: np.ndarray, name: str, epoch: int = 0) -> torch.Tensor:
        """Return the training loss of some examples, the mean over their rows, with fresh negatives."""
        return self.mean_loss_of(self.dataset.collate(examples), name, epoch, int(examples[0]))

    def mean_loss_of(self, batch: Interaction, *name: str | int) -> torch.Tensor:
        """Return the training loss of a batch, the mean over its rows, with negatives of the stream of that name."""
        batch = self.case.with_negatives(batch, self.case.bench.negatives.times, *name)
        return self.model.loss_sum(batch.to(self.case.bench.device)) / len(batch)

    def forgotten(self) -> Iterator[Interaction]:
        """Yield the examples that held a forgotten row, as they were, in batches of at most 256."""
        forget = self.case.change.before
        for start in range(0, len(forget), BATCH_SIZE):
            yield forget[start : start + BATCH_SIZE]


class DescentAlgorithm(StepAlgorithm):
    """Erases by some steps and repairs by others, all of which make one :class:`Step` or none.

    A request's time may run out, or its numbers may, between erasing and repairing: the model is then as it was.
    Dropout is off, batch statistics are those of training, optimizers and their states belong to the request, and no
    scheduler is stepped.
    """

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.sgd(1.0).step()  # nothing to do yet; what torch imports on first use is not on the first request's clock

    @abstractmethod
    def descend(self, descent: Descent) -> dict[str, Any]:
        """Change ``self.model``, by :meth:`Descent.take` above all, and return what to note in ``work``."""

    def solve(self, case: Case, observed: None) -> Step:
        """Return the difference that :meth:`descend` made, as a step."""
        whole, descent = Subspace(self.model), Descent(case)
        before = whole.vector()
        with preserved(self.model):
            work = self.descend(descent)
            delta = whole.vector() - before
        return Step(whole, delta, work | {"n_steps": descent.taken})

    def sgd(self, learning_rate: float, momentum: float = 0.9) -> torch.optim.SGD:
        """Return an optimizer of its own over the parameters that training moves."""
        parameters = dict(self.model.named_parameters())
        return SGD([parameters[n] for n in trained(self.model)], lr=learning_rate, momentum=momentum)


class ErasingAlgorithm(DescentAlgorithm):
    """Erases in the model's ``erasable`` tables and matrices, before it repairs."""

    def check(self, model: AbstractRecommender) -> None:
        """Refuse a model without any, too."""
        super().check(model)
        if not model.erasable():
            raise UserError(
                f"{self.name} erases in trained tables and matrices, and {type(model).__name__} has none (erasable)"
            )

    def reached(self, batch: Interaction) -> dict[str, torch.Tensor]:
        """Return name to rows (int64, ascending) of the erasable tables and matrices that a batch's examples speak of.

        In a table that the model's ``lookups`` declare these are the rows of the batch's ids, in all others all rows;
        the padding's never. Of a matrix of which single entries are stored (``entry_tables``) they are the numbers of
        the entries in such rows.
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
