"""Rows of tables that nothing reads any more, and the values that a model without their readers has in them.

A person who forgets everything leaves a row behind that no retained example reads. Its gradient and its curvature are
zero from then on, and a damped step knows of nothing to hold it: it would be the forgotten examples' gradient over the
damping, however far that goes. A retrained model has the row where it started, less what weight decay took off it.
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
"""Parameter name to rows of it (of a matrix of single entries: these), int64, ascending."""

AT_ONCE = 2**10
"""How many examples are counted at a time."""


class Readers:
    """How many times retained examples read each row of the tables that they read by ids (``Model.reads``).

    A table of items among which negatives are drawn evenly is not counted: each of its rows may be drawn.

    Args:
        model: a recommender.
        dataset: the data under the current mask.
        negatives: the model's.
        names: of the parameters that may change.
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
        """Count the retained examples' reads."""
        parameters = dict(self.model.named_parameters())
        self.counts = {name: torch.zeros(len(parameters[name]), dtype=torch.int64) for name in self.names}
        examples = self.dataset.train_examples() if self.names else np.empty(0, dtype=np.int64)
        for start in range(0, len(examples), AT_ONCE):
            self._add(self.dataset.collate(examples[start : start + AT_ONCE]), 1)

    def _add(self, batch: Interaction, sign: int) -> dict[str, torch.Tensor]:
        read = {name: self.read(name, batch) for name in self.names}
        for name, rows in read.items():
            self.counts[name].index_add_(0, rows, torch.full_like(rows, sign))
        return read

    def read(self, name: str, batch: Interaction) -> torch.Tensor:
        """Return which rows of a table a batch's examples read, int64, with repetitions; never the padding's."""
        if not len(batch):
            return torch.empty(0, dtype=torch.int64)
        device = next(self.model.parameters()).device
        rows = torch.cat([self.model.rows_read(name, piece.to(device)).cpu() for piece in self.model.pieces(batch)])
        return rows if name in self.model.entry_tables else rows[rows > 0]

    def follow(self, change: Change) -> dict[str, torch.Tensor]:
        """Take a change into account, and return the rows that no retained example reads since."""
        read = self._add(change.before, -1)
        self._add(change.after, 1)
        lost = {name: torch.unique(rows[self.counts[name][rows] == 0]) for name, rows in read.items()}
        for name in self.drawn & lost.keys():
            lost[name] = lost[name][self._undrawn[lost[name]]]
        return {name: rows for name, rows in lost.items() if len(rows)}

    @property
    def _undrawn(self) -> torch.Tensor:
        """Which items are never drawn as negatives, bool [n_items]."""
        popularity = self.negatives.sampler.popularity
        return torch.from_numpy(popularity.now == 0) if popularity is not None else torch.zeros(0, dtype=torch.bool)

    def unread(self, lost: Rows) -> dict[str, torch.Tensor]:
        """Return those of the rows that are no candidates either, for a model that is rebuilt under the mask."""
        candidates, left = self.model.candidates(), dict(lost)
        for name in candidates.keys() & left.keys():
            left[name] = left[name][~torch.isin(left[name], candidates[name].cpu())]
        return {name: rows for name, rows in left.items() if len(rows)}


def draws(negatives: Negatives, fields: Sequence[str]) -> bool:
    """Return whether drawn negatives are among the ids of some interaction fields."""
    return negatives.times > 0 and not {negatives.iid_field, negatives.negative_field}.isdisjoint(fields)


def initial_model(config: Config, model: AbstractRecommender, dataset: Dataset) -> AbstractRecommender:
    """Return a model as training starts from it, by the run's seed; torch's generators stay where they are."""
    with torch.random.fork_rng(devices=[config["device"]] if "cuda" in str(config["device"]) else []):
        return new_model(Run(config, type(model)), State("base", dataset, dataset.forgotten))


class InitialValues:
    """The values that rows have in a model that was trained, from the run's seed, without a reader of theirs.

    These are the initial ones, and what the optimizer makes of them where nothing but weight decay moves them, in as
    many steps as the base's training took. Without weight decay they are a retrained model's, to the bit.

    Args:
        config: the run's configuration.
        model: the trained model; ``epochs_trained`` says for how long.
        dataset: the data.
    """

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        self.config, self.model, self.dataset = config, model, dataset
        fresh = initial_model(config, model, dataset)
        wanted = set(model.reads())
        self.tables = {name: value.detach() for name, value in fresh.named_parameters() if name in wanted}
        self.places = {name: fresh.get_buffer(buffer) for name, buffer in model.entry_tables.items() if name in wanted}

    def of(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        """Return the values of some rows of a parameter, [n, ...]."""
        table = self.tables[name]
        rows = rows.to(table.device)
        if name in self.places:  # a file may store other entries than a new model
            rows = torch.searchsorted(self.places[name], self.model.get_buffer(self.model.entry_tables[name])[rows])
        return self._shrunk(table[rows]) if self.config["weight_decay"] else table[rows]

    def _shrunk(self, values: torch.Tensor) -> torch.Tensor:
        """Return what training makes of values that no example reads."""
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
