"""Table rows that no retained example reads any more, and the values that a retrained model has in them.

An example reads a row of an embedding table if its loss uses the row. *Retained* means not forgotten. If a user forgets
all interactions, no retained example reads the user's embedding. The loss of the retained examples has no gradient and
no curvature in this row, so only the damping bounds a Newton step there: the step would be the gradient of the
forgotten examples divided by the damping, which can be very large. Retraining leaves the row at its initial value,
except for weight decay.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch

from recbole.config import Config
from recbole.data import Change, Dataset, Interaction, Negatives
from recbole.data.batches import TrainBatches
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer import make_optimizer
from recbole.trainer.learn import new_model
from recbole.trainer.state import Run, State
from recbole.utils import InputType

Rows = Mapping[str, torch.Tensor]
"""Parameter name to row indices (int64, ascending).

For a matrix of which only some entries are stored (the model's ``entry_tables``), they are positions of stored entries.
"""

AT_ONCE = 2**10
"""Number of examples in one batch when reads are counted."""


class Readers:
    """Counts how often retained training examples read each row of a model's embedding tables.

    An example reads a row if its loss uses the row. Only tables are counted that the model's method ``reads`` names:
    their row i is read only by examples that contain user (or item) i, or have item i as a negative. Item tables are
    left out if negatives are drawn uniformly, because every item may then be drawn.

    Args:
        model: a recommender.
        dataset: the data, with a mask of the forgotten rows (interactions).
        negatives: the sampler of negatives for the model's batches.
        names: names of the parameters that may change; the reads of the tables among them are counted.

    Attributes:
        names: names of the tables whose reads are counted.
        counts: table name to the number of reads of each table row, int64 [table rows].
        drawn: names of the item tables among the parameters in the argument ``names`` whose rows are also read when
            their item is drawn as a negative.
    """

    def __init__(
        self, model: AbstractRecommender, dataset: Dataset, negatives: Negatives, names: Sequence[str]
    ) -> None:
        self.model, self.dataset, self.negatives = model, dataset, negatives
        reads = model.reads()
        self.drawn = {name for name in names if draws(negatives, reads.get(name, ()))}
        even = set() if not self.drawn or negatives.sampler.popularity is not None else self.drawn
        self.names = [name for name in names if name in reads and name not in even]
        self.count()

    def count(self) -> None:
        """Set :attr:`counts` anew, from all retained training examples."""
        parameters = dict(self.model.named_parameters())
        self.counts = {name: torch.zeros(len(parameters[name]), dtype=torch.int64) for name in self.names}
        examples = self.dataset.train_examples() if self.names else np.empty(0, dtype=np.int64)
        for start in range(0, len(examples), AT_ONCE):
            self._add(self.dataset.collate(examples[start : start + AT_ONCE]), 1)

    def _add(self, batch: Interaction, sign: int) -> dict[str, torch.Tensor]:
        """Add the reads by a batch's examples to the counts, or subtract them.

        Args:
            batch: training examples without negatives.
            sign: 1 to add, -1 to subtract.

        Returns:
            Table name to the rows read, see :meth:`read`.
        """
        read = {name: self.read(name, batch) for name in self.names}
        for name, rows in read.items():
            self.counts[name].index_add_(0, rows, torch.full_like(rows, sign))
        return read

    def read(self, name: str, batch: Interaction) -> torch.Tensor:
        """Return which rows of a table the examples of a batch read (use in their losses).

        Args:
            name: name of the table.
            batch: training examples without negatives.

        Returns:
            int64 row indices, without padding rows. A row that is read several times occurs as many times.
        """
        if not len(batch):
            return torch.empty(0, dtype=torch.int64)
        device = next(self.model.parameters()).device
        rows = torch.cat([self.model.rows_read(name, piece.to(device)).cpu() for piece in self.model.pieces(batch)])
        return rows if name in self.model.entry_tables else rows[rows > 0]

    def follow(self, change: Change) -> dict[str, torch.Tensor]:
        """Update the counts after interactions were forgotten, and return the table rows that lost their last read.

        Args:
            change: the training examples that contain a forgotten interaction, before and after forgetting.

        Returns:
            Table name to int64 row indices, ascending: the rows that retained examples read before and do not read now.
            Rows of items that can be drawn as negatives are not included. Tables without such rows are left out.
        """
        read = self._add(change.before, -1)
        self._add(change.after, 1)
        lost = {name: torch.unique(rows[self.counts[name][rows] == 0]) for name, rows in read.items()}
        for name in self.drawn & lost.keys():
            lost[name] = lost[name][self._undrawn[lost[name]]]
        return {name: rows for name, rows in lost.items() if len(rows)}

    @property
    def _undrawn(self) -> torch.Tensor:
        """For each item whether it can no longer be drawn as a negative, bool [n_items]; empty if draws are uniform.

        Negatives that are drawn by popularity are never items without a retained training interaction.
        """
        popularity = self.negatives.sampler.popularity
        return torch.from_numpy(popularity.now == 0) if popularity is not None else torch.zeros(0, dtype=torch.bool)

    def unread(self, lost: Rows) -> dict[str, torch.Tensor]:
        """Return table rows without those that the loss of every batch uses (the model's ``candidates``).

        Args:
            lost: table name to rows, see :meth:`follow`.
        """
        candidates, left = self.model.candidates(), dict(lost)
        for name in candidates.keys() & left.keys():
            left[name] = left[name][~torch.isin(left[name], candidates[name].cpu())]
        return {name: rows for name, rows in left.items() if len(rows)}


def draws(negatives: Negatives, fields: Sequence[str]) -> bool:
    """Return whether any of the given fields of a training batch holds ids of drawn negatives.

    Args:
        negatives: the sampler of negatives for the model's batches.
        fields: names of the fields (columns) of the batch, an :class:`~recbole.data.Interaction`.
    """
    return negatives.times > 0 and not {negatives.iid_field, negatives.negative_field}.isdisjoint(fields)


def initial_model(config: Config, model: AbstractRecommender, dataset: Dataset) -> AbstractRecommender:
    """Return a new model with the initial parameters from which training with the run's seed starts.

    The state of torch's global random generators does not change.

    Args:
        config: the run's configuration.
        model: a model of the same class.
        dataset: the data on which the new model is built.
    """
    with torch.random.fork_rng(devices=[config["device"]] if "cuda" in str(config["device"]) else []):
        return new_model(Run(config, type(model)), State("base", dataset, dataset.forgotten))


class InitialValues:
    """Computes the values that a table row has after a training in which no example reads (uses) the row.

    These are the row's initial values for the run's seed, changed by weight decay alone, over as many optimiser steps
    as the given model was trained for. Without weight decay they are bit-identical to those of a retrained model.

    Args:
        config: the run's configuration.
        model: the trained model, whose attribute ``epochs_trained`` is the number of epochs.
        dataset: the data.
    """

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        self.config, self.model, self.dataset = config, model, dataset
        fresh = initial_model(config, model, dataset)
        wanted = set(model.reads())
        self.tables = {name: value.detach() for name, value in fresh.named_parameters() if name in wanted}
        self.places = {name: fresh.get_buffer(buffer) for name, buffer in model.entry_tables.items() if name in wanted}

    def of(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        """Return these values for some rows of a table, float [n, ...].

        Args:
            name: the parameter name of the table.
            rows: int64 [n], row indices.
        """
        table = self.tables[name]
        rows = rows.to(table.device)
        if name in self.places:  # a trained model may store other entries of the matrix than a new one
            rows = torch.searchsorted(self.places[name], self.model.get_buffer(self.model.entry_tables[name])[rows])
        return self._shrunk(table[rows]) if self.config["weight_decay"] else table[rows]

    def _shrunk(self, values: torch.Tensor) -> torch.Tensor:
        """Return initial values after as many optimiser steps as the training had, all with a gradient of zero.

        Such steps change the values by weight decay only.
        """
        alone = torch.nn.ParameterList([torch.nn.Parameter(values.clone())])
        optimizer = make_optimizer(self.config, alone)
        scheduler = self.model.scheduler(optimizer)
        whole = self.dataset.masked(np.zeros_like(self.dataset.forgotten))
        steps = len(TrainBatches(self.config, whole, cast(InputType, self.model.input_type)))
        for _ in range(self.model.epochs_trained):
            for _ in range(steps):
                alone[0].grad = torch.zeros_like(values)
                optimizer.step()
            if scheduler is not None:
                scheduler.step()
        return alone[0].detach()
