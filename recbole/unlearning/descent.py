"""What Kookmin, Fanchuan and SEIF share: optimisation steps that are made on the model and then taken back."""

import contextlib

import torch

from recbole.unlearning.algorithm import NotApplied, Step, UnlearningAlgorithm
from recbole.unlearning.noise import padding_rows
from recbole.unlearning.second_order.curvature import Subspace, second_order, trained
from recbole.utils import UserError, stream

BATCH_SIZE = 256
"""Examples of an optimisation step, as in ERASE."""


@contextlib.contextmanager
def aside(model):
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


class DescentAlgorithm(UnlearningAlgorithm):
    """Erases by some steps and repairs by others, all of which make one :class:`Step` or none.

    A request's time may run out, or its numbers may, between erasing and repairing: the model is then as it was.
    Dropout is off, batch statistics are those of training, optimizers and their states belong to the request, and no
    scheduler is stepped.
    """

    def __init__(self, config, model, dataset):
        super().__init__(config, model, dataset)
        self.sgd(1.0).step()  # nothing to do yet; what torch imports on first use is not on the first request's clock

    def descend(self, change, index):
        """Change ``self.model``, by :meth:`take` above all, and return what to note in ``work``."""
        raise NotImplementedError

    def solve(self, change, index, out_of_time):
        """Return the difference that :meth:`descend` made, as a step."""
        self._out_of_time, self._taken = out_of_time, 0
        whole = Subspace(self.model)
        before = whole.vector()
        with aside(self.model):
            work = self.descend(change, index)
            delta = whole.vector() - before
        return Step(whole, delta, work | {"n_steps": self._taken})

    # --- steps ---------------------------------------------------------------------------------------------------

    def check_time(self):
        """Raise ``NotApplied`` when the request's time is up."""
        if self._out_of_time():
            raise NotApplied("timeout", f"time was up after {self._taken} optimisation steps")

    def sgd(self, learning_rate, momentum=0.9):
        """Return an optimizer of its own over the parameters that training moves."""
        parameters = dict(self.model.named_parameters())
        return torch.optim.SGD([parameters[n] for n in trained(self.model)], lr=learning_rate, momentum=momentum)

    def take(self, optimizer, loss, rates=None):
        """Make one step down the loss that ``loss()`` returns; ``rates`` scale the entries of gradients, by name."""
        self.check_time()
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        for name, rate in (rates or {}).items():
            parameter = self.model.get_parameter(name)
            if parameter.grad is not None:
                parameter.grad = parameter.grad * rate
        optimizer.step()
        self._taken += 1

    # --- data ----------------------------------------------------------------------------------------------------

    def batches(self, examples, index, name, epoch=0):
        """Yield training examples (int64) in batches of at most 256, as numbers, in an order of the request's own."""
        order = stream(self.config["seed"], "unlearn", index, name, epoch).permutation(examples)
        for start in range(0, len(order), BATCH_SIZE):
            yield order[start : start + BATCH_SIZE]

    def mean_loss(self, examples, index, name, epoch=0):
        """Return the training loss of some examples, the mean over their rows, with fresh negatives."""
        batch = self.dataset.collate(examples)
        batch = self.with_negatives(batch, self.negatives.times, index, name, epoch, int(examples[0]))
        return self.model.loss_sum(batch.to(self.device)) / len(batch)

    @property
    def device(self):
        """Where the model lives."""
        return next(self.model.parameters()).device


class ErasingAlgorithm(DescentAlgorithm):
    """Erases in the model's ``erasable`` tables and matrices, before it repairs."""

    def check(self, model):
        """Refuse a model without any, too."""
        super().check(model)
        if not model.erasable():
            raise UserError(
                f"{self.name} erases in trained tables and matrices, and {type(model).__name__} has none (erasable)"
            )

    def reached(self, batch):
        """Return name to rows (int64, ascending) of the erasable tables and matrices that a batch's examples speak of.

        In a table that the model's ``lookups`` declare these are the rows of the batch's ids, in all others all rows;
        the padding's never.
        """
        lookups, padding, found = self.model.lookups(), padding_rows(self.model), {}
        for name in self.model.erasable():
            rows = torch.arange(len(self.model.get_parameter(name)))
            if name in lookups:
                ids = [batch[field].reshape(-1) for field in lookups[name] if field in batch]
                ids = torch.cat([rows[:0], *ids])
                rows = torch.unique(ids[ids > 0])
            found[name] = rows[rows != padding.get(name, -1)].to(self.device)
        return found
