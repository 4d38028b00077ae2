"""Table rows that no retained example reads any more, and the values that a retrained model has in them.

If a user forgets all interactions, no retained example reads the user's embedding. The retained loss has no gradient
and no curvature in this row, so only the damping bounds a Newton step there: the step would be the forgotten examples'
gradient divided by the damping, which can be very large. A retrained model leaves the row at its initial value, except
for weight decay.
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
"""Parameter name to row indices (int64, ascending); for a parameter in ``entry_tables``, positions of its entries."""

AT_ONCE = 2**10
"""Number of examples whose reads are counted at once."""


class Readers:
    """Counts how often retained examples read each row of the tables that are indexed by ids.

    These are the tables that the model's ``reads`` method returns. An item table is left out if negatives are drawn
    uniformly from all items, because any of its rows may be drawn.

    Args:
        model: a recommender.
        dataset: the data, with its mask of forgotten rows.
        negatives: the sampler of negatives for the model's batches.
        names: names of the parameters that may change.

    Attributes:
        names: names of the tables whose reads are counted.
        counts: table name to the number of reads of each row, int64 [rows].
        drawn: names of those among the given parameters whose rows are also read by drawn negatives.
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
        """Count the reads of all retained training examples, from scratch."""
        parameters = dict(self.model.named_parameters())
        self.counts = {name: torch.zeros(len(parameters[name]), dtype=torch.int64) for name in self.names}
        examples = self.dataset.train_examples() if self.names else np.empty(0, dtype=np.int64)
        for start in range(0, len(examples), AT_ONCE):
            self._add(self.dataset.collate(examples[start : start + AT_ONCE]), 1)

    def _add(self, batch: Interaction, sign: int) -> dict[str, torch.Tensor]:
        """Add a batch's reads, times ``sign``, to the counts; return the rows read, see :meth:`read`, by table name."""
        read = {name: self.read(name, batch) for name in self.names}
        for name, rows in read.items():
            self.counts[name].index_add_(0, rows, torch.full_like(rows, sign))
        return read

    def read(self, name: str, batch: Interaction) -> torch.Tensor:
        """Return which rows of a table a batch's examples read.

        Args:
            name: name of the table.
            batch: training examples without negatives.

        Returns:
            int64 row indices, with one element for each read, without padding rows.
        """
        if not len(batch):
            return torch.empty(0, dtype=torch.int64)
        device = next(self.model.parameters()).device
        rows = torch.cat([self.model.rows_read(name, piece.to(device)).cpu() for piece in self.model.pieces(batch)])
        return rows if name in self.model.entry_tables else rows[rows > 0]

    def follow(self, change: Change) -> dict[str, torch.Tensor]:
        """Update the counts after rows were forgotten, and return the rows that no example reads any more.

        Args:
            change: the training examples with a forgotten row, before and after forgetting.

        Returns:
            Parameter name to int64 row indices, ascending: rows that were read before and are not now. Parameters
            without such rows are left out.
        """
        read = self._add(change.before, -1)
        self._add(change.after, 1)
        lost = {name: torch.unique(rows[self.counts[name][rows] == 0]) for name, rows in read.items()}
        for name in self.drawn & lost.keys():
            lost[name] = lost[name][self._undrawn[lost[name]]]
        return {name: rows for name, rows in lost.items() if len(rows)}

    @property
    def _undrawn(self) -> torch.Tensor:
        """Mask of the items that are never drawn as negatives, bool [n_items]; empty if draws are uniform."""
        popularity = self.negatives.sampler.popularity
        return torch.from_numpy(popularity.now == 0) if popularity is not None else torch.zeros(0, dtype=torch.bool)

    def unread(self, lost: Rows) -> dict[str, torch.Tensor]:
        """Return the given rows without those that the loss of every batch reads (the model's ``candidates``)."""
        candidates, left = self.model.candidates(), dict(lost)
        for name in candidates.keys() & left.keys():
            left[name] = left[name][~torch.isin(left[name], candidates[name].cpu())]
        return {name: rows for name, rows in left.items() if len(rows)}


def draws(negatives: Negatives, fields: Sequence[str]) -> bool:
    """Return whether a training batch contains drawn negatives in any of some interaction fields.

    Args:
        negatives: the sampler of negatives for the model's batches.
        fields: names of the interaction fields.
    """
    return negatives.times > 0 and not {negatives.iid_field, negatives.negative_field}.isdisjoint(fields)


def initial_model(config: Config, model: AbstractRecommender, dataset: Dataset) -> AbstractRecommender:
    """Return a new model with the initial parameters from which training with the run's seed starts.

    Args:
        config: the run's configuration.
        model: a model of the same class.
        dataset: the data. The state of torch's global random generators does not change.
    """
    with torch.random.fork_rng(devices=[config["device"]] if "cuda" in str(config["device"]) else []):
        return new_model(Run(config, type(model)), State("base", dataset, dataset.forgotten))


class InitialValues:
    """The values that a table row has at the end of a training in which no example reads it.

    These are the row's initial values for the run's seed, changed by weight decay alone, over as many optimiser steps
    as the base model's training took. Without weight decay they are bit-identical to a retrained model's.

    Args:
        config: the run's configuration.
        model: the trained model; its ``epochs_trained`` is the number of epochs.
        dataset: the data.
    """

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        self.config, self.model, self.dataset = config, model, dataset
        fresh = initial_model(config, model, dataset)
        wanted = set(model.reads())
        self.tables = {name: value.detach() for name, value in fresh.named_parameters() if name in wanted}
        self.places = {name: fresh.get_buffer(buffer) for name, buffer in model.entry_tables.items() if name in wanted}

    def of(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        """Return the values of some rows of a parameter, float [n, ...].

        Args:
            name: the parameter's name.
            rows: int64 [n], row indices.
        """
        table = self.tables[name]
        rows = rows.to(table.device)
        if name in self.places:  # a checkpoint may store other entries than a new model
            rows = torch.searchsorted(self.places[name], self.model.get_buffer(self.model.entry_tables[name])[rows])
        return self._shrunk(table[rows]) if self.config["weight_decay"] else table[rows]

    def _shrunk(self, values: torch.Tensor) -> torch.Tensor:
        """Return initial values after as many optimiser steps as the training had, with zero gradients throughout."""
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
