"""RecBole's data loaders, which yield training examples, or users to evaluate, in batches."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch

from recbole.config import Config
from recbole.data.batch_fields import NUMBER
from recbole.data.batches import Negatives, TrainBatches
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.data.questions import EvalRows
from recbole.data.ragged import Ragged
from recbole.data.sampler import in_turn
from recbole.data.split import SPLITS
from recbole.utils import InputType, stream

Indices = tuple[torch.Tensor, torch.Tensor]


class AbstractDataLoader(ABC):
    """Iterates over one split of the data in batches.

    Args:
        config: the settings, completed by ``config.bind_model`` with those that follow from the model's class.
        dataset: one of the three data sets that :meth:`WholeDataset.build` returns, which is the split to iterate over.
        sampler: ignored. In RecBole it is the sampler of negative items, which is not needed here.
        shuffle: whether training examples are shuffled in each epoch.
    """

    def __init__(self, config: Config, dataset: Dataset, sampler: None = None, shuffle: bool = False) -> None:
        self.config, self.dataset, self._dataset = config, dataset, dataset
        self.sampler, self.shuffle = sampler, shuffle
        self.is_sequential = dataset.task_type == "SBR"

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches."""

    @abstractmethod
    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the split, once through."""


class TrainDataLoader(AbstractDataLoader):
    """Yields training batches, each an :class:`Interaction`. Each iteration over the loader is one epoch.

    With ``shuffle``, the batches of an epoch are those that the training loop uses. Without it, the examples come in
    the order of the data. Columns with features of users and items are added to the batches.
    """

    def __init__(self, config: Config, dataset: Dataset, sampler: None = None, shuffle: bool = True) -> None:
        super().__init__(config, dataset, sampler, shuffle and config.get("shuffle", True) is not False)
        kind: InputType = config["MODEL_INPUT_TYPE"]
        self.kind, self.epoch = kind, 0
        self._batch_size = int(config["train_batch_size"])
        self.negatives = None if config["train_neg_sample_args"] is None else Negatives(config, dataset, kind)
        each = 1 if self.negatives is None else self.negatives.rows_per_example
        self.step = max(self._batch_size // each, 1)

    def __len__(self) -> int:
        return math.ceil(len(self.dataset.train_examples()) / self.step)

    def __iter__(self) -> Iterator[Interaction]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        if self.shuffle:
            batches = TrainBatches(self.config, self.dataset, self.kind).epoch(epoch)
        else:
            batches = self._in_order(epoch)
        for batch in batches:
            if len(batch):
                yield self._joined(batch)

    def _in_order(self, epoch: int) -> Iterator[Interaction]:
        examples, uniforms = self.dataset.shown_examples(), in_turn(stream(self.config["seed"], "loader", epoch))
        for at in range(0, len(examples), self.step):
            batch = self.dataset.collate(examples[at : at + self.step])
            yield batch if self.negatives is None else self.negatives.add(batch, uniforms)

    def _joined(self, batch: Interaction) -> Interaction:
        """Return the batch with columns for the features of its users, items and negative items."""
        if NUMBER in batch:
            batch.drop(NUMBER)
        batch = self.dataset.join(batch)
        prefix = self.config["NEG_PREFIX"]
        negative = prefix + self.dataset.iid_field
        if negative in batch and "item" in self.dataset.log.features:
            features = self.dataset.item_feat[batch[negative]]
            features.add_prefix(prefix)
            batch.update(features)
        return batch


class EvalDataLoader(AbstractDataLoader):
    """Base class of the loaders for evaluation on the validation or test split.

    An evaluation row is one ranking: a user, or in sequential data an example, with the relevant items.

    Attributes:
        part: the split, ``"valid"`` or ``"test"``.
        step: the number of evaluation rows per batch.
    """

    def __init__(self, config: Config, dataset: Dataset, sampler: None = None, shuffle: bool = False) -> None:
        super().__init__(config, dataset, sampler, shuffle)
        self.part = next(name for name, label in SPLITS.items() if label == dataset.shown)
        self.step, self._batch_size = self._sizes()

    @abstractmethod
    def _sizes(self) -> tuple[int, int]:
        """Return the number of evaluation rows per batch, and the batch size as RecBole counts it.

        RecBole counts (user, candidate item) pairs, or in sequential data examples.
        """

    @cached_property
    def rows(self) -> EvalRows:
        """The evaluation rows of the split: the model's inputs, the excluded items and the relevant items."""
        return self.dataset.eval_rows(self.part)


class FullSortEvalDataLoader(EvalDataLoader):
    """Yields the users (in sequential data: examples) of a split for evaluation with all items as candidates.

    As in RecBole, a batch is a tuple of four elements:

    - the model's inputs, an :class:`Interaction` with one row per user or example;
    - the items that are excluded from the ranking because they are in the user's history: two int64 tensors [n] with
      the row's index in the batch and the item id of each; None for sequential data;
    - int64 [m], for each relevant item the index of its row in the batch;
    - int64 [m], the ids of the relevant items.
    """

    def _sizes(self) -> tuple[int, int]:
        size = int(self.config["eval_batch_size"])
        people = size if self.is_sequential else max(size // self.dataset.n_items, 1)
        return people, people * (1 if self.is_sequential else self.dataset.n_items)

    def __len__(self) -> int:
        return math.ceil(len(self.rows.inputs) / self.step)

    def __iter__(self) -> Iterator[tuple[Interaction, Indices | None, torch.Tensor, torch.Tensor]]:
        for at in range(0, len(self.rows.inputs), self.step):
            inputs = self.rows.inputs[at : at + self.step].repeat(1)
            some = np.arange(at, at + len(inputs))
            history, right = (indices(ragged.take(some)) for ragged in (self.rows.history, self.rows.positives))
            yield self.dataset.join(inputs), None if self.is_sequential else history, *right

    @cached_property
    def uid2history_item(self) -> np.ndarray:
        """The ids of the items excluded from each user's ranking, as they are in the user's history.

        An object array [n_users], indexed by user id, of int64 tensors.
        """
        found = np.empty(self.dataset.n_users, dtype=object)
        found[:] = [torch.empty(0, dtype=torch.int64, device="cpu")] * len(found)
        history = self.rows.history
        for at, user in enumerate(self.rows.entity.tolist()):
            found[user] = torch.from_numpy(history.values[history.offsets[at] : history.offsets[at + 1]])
        return found


def indices(ragged: Ragged) -> Indices:
    """Return the n elements of a ragged array (rows of different lengths) as two int64 tensors: row index, value."""
    row = np.repeat(np.arange(len(ragged)), ragged.sizes())
    return torch.from_numpy(row), torch.from_numpy(ragged.values.copy())
