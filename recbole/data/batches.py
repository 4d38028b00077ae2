"""Training batches: examples in a seeded order, negatives beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.data.sampler import NegativeSampler, NextItemSampler
from recbole.utils import InputType, UserError, stream

if TYPE_CHECKING:
    from recbole.config import Config


class Negatives:
    """Puts negatives beside positives, as ``train_neg_sample_args`` and the model's input type say.

    Pairwise models get a column ``neg_item_id``; pointwise models get the negatives as further rows with label 0.
    A model that takes none (a full softmax) has ``train_neg_sample_args: null``.
    """

    def __init__(self, config: Config, dataset: Dataset, input_type: InputType) -> None:
        args = config["train_neg_sample_args"]
        self.iid_field = dataset.iid_field
        self.negative_field = config["NEG_PREFIX"] + dataset.iid_field
        self.label_field = dataset.label_field
        self.input_type = input_type
        self.times = 0
        if args is not None:
            self.times = args["sample_num"]
            kind = NextItemSampler if dataset.task_type == "SBR" else NegativeSampler
            self.sampler = kind(dataset, args["distribution"], args["alpha"])
            self.given = getattr(dataset, kind.of)
        elif input_type is InputType.PAIRWISE and config["loss_type"] != "CE":
            raise UserError("train_neg_sample_args: a pairwise model needs negatives; set distribution: uniform")

    @property
    def rows_per_example(self) -> int:
        """How many rows of a batch one positive makes."""
        return max(self.times + (self.input_type is InputType.POINTWISE), 1)

    def forget(self, rows: np.ndarray) -> None:
        """Follow the mask of the data: log rows (int64) that it now covers count for no negative any more."""
        if self.times:
            self.sampler.forget(rows)

    def add(self, batch: Interaction, generator: np.random.Generator, times: int | None = None) -> Interaction:
        """Return ``batch`` with ``times`` (default ``sample_num``) negatives for each positive."""
        if not self.times:
            return batch
        times = self.times if times is None else times
        drawn = self.sampler.sample(np.tile(batch[self.given].numpy(), times), generator)
        return self._beside(batch, torch.from_numpy(drawn))

    def like(
        self, batch: Interaction, other: Interaction, places: np.ndarray | torch.Tensor, times: int
    ) -> Interaction:
        """Return ``batch`` with the negatives that stand in ``other``, which :meth:`add` made.

        Args:
            batch: positives.
            other: positives with ``times`` negatives each.
            places: int64 [len(batch)], each positive's place among the positives of ``other``.
            times: negatives for each positive.
        """
        if not self.times:
            return batch
        pairwise = self.input_type is InputType.PAIRWISE
        negatives = other[self.negative_field] if pairwise else other[self.iid_field][other[self.label_field] == 0]
        return self._beside(batch, negatives.view(times, -1)[:, places].reshape(-1))

    def _beside(self, batch: Interaction, negatives: torch.Tensor) -> Interaction:
        """Put ``times * len(batch)`` negatives, all positives' first ones first, beside their positives."""
        times = len(negatives) // max(len(batch), 1)
        if self.input_type is InputType.PAIRWISE:
            pairs = batch.repeat(times)
            pairs[self.negative_field] = negatives
            return pairs
        rows = batch.repeat(times + 1)
        rows[self.iid_field] = torch.cat([batch[self.iid_field], negatives])
        labels = torch.zeros(len(rows))
        labels[: len(batch)] = 1.0
        rows[self.label_field] = labels
        return rows


class TrainBatches:
    """The training batches of any epoch, each a function of (seed, epoch, batch) alone.

    Args:
        config: reads ``train_batch_size``, ``seed``, ``train_neg_sample_args``.
        dataset: the training data under the mask to train on.
        input_type: the model's :class:`~recbole.utils.InputType`.
    """

    def __init__(self, config: Config, dataset: Dataset, input_type: InputType) -> None:
        self.dataset = dataset
        self.seed = config["seed"]
        self.examples = dataset.train_examples()
        self.negatives = Negatives(config, dataset, input_type)
        self.step = max(int(config["train_batch_size"]) // self.negatives.rows_per_example, 1)
        if not len(self.examples):
            raise UserError(f"{dataset.log.name}: no training example is left")

    def __len__(self) -> int:
        return math.ceil(len(self.examples) / self.step)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Interaction]:
        """Yield the :class:`Interaction` batches of an epoch, from batch ``first`` on."""
        order = stream(self.seed, "shuffle", epoch).permutation(self.examples)
        for index in range(first, len(self)):
            batch = self.dataset.collate(order[index * self.step : (index + 1) * self.step])
            yield self.negatives.add(batch, stream(self.seed, "negatives", epoch, index))
