"""Training batches: examples in a seeded order, negatives beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.data.sampler import NegativeSampler, NextItemSampler, Uniforms
from recbole.utils import InputType, UserError, keyed, stream

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

    def add(self, batch: Interaction, uniforms: Uniforms, times: int | None = None) -> Interaction:
        """Return ``batch`` with ``times`` (default ``sample_num``) negatives for each positive.

        Args:
            batch: positives.
            uniforms: what is drawn; the places are those of all positives' first negatives, then of their second ones.
            times: negatives for each positive.
        """
        if not self.times:
            return batch
        times = self.times if times is None else times
        drawn = self.sampler.sample(np.tile(batch[self.given].numpy(), times), uniforms)
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


NUMBER = "example_number"
"""The column of a training batch that holds the permanent numbers of its examples; a negative's row has its own."""

_COPY = 2**40
"""What the number of a row has more than that of its positive, for each negative copy."""


class TrainBatches:
    """The training batches of any epoch, each a function of (seed, epoch, batch) and of who is left in it.

    The order is one of all examples that were given at the start (:class:`~recbole.data.dataset.Given`), cut into
    batches; who was forgotten since is missing from a batch, which may be empty. A planted example draws a genuine one
    and stands behind the genuine ones of that one's batch. So forgetting, and planting, move nobody else.

    Args:
        config: reads ``train_batch_size``, ``seed``, ``train_neg_sample_args``.
        dataset: the training data under the mask to train on.
        input_type: the model's :class:`~recbole.utils.InputType`.
    """

    def __init__(self, config: Config, dataset: Dataset, input_type: InputType) -> None:
        self.dataset, self.seed, self.count = dataset, config["seed"], dataset.given.count
        self.negatives = Negatives(config, dataset, input_type)
        self.step = max(int(config["train_batch_size"]) // self.negatives.rows_per_example, 1)
        examples = dataset.train_examples()
        if not len(examples):
            raise UserError(f"{dataset.log.name}: no training example is left")
        numbers = dataset.given.numbers_of(examples)
        genuine = numbers < self.count
        self.named = np.full(self.count, -1)  # the example of each number; -1 where it is forgotten
        self.named[numbers[genuine]] = examples[genuine]
        self.planted, self.planted_numbers = examples[~genuine], numbers[~genuine]

    def __len__(self) -> int:
        return math.ceil(self.count / self.step)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Interaction]:
        """Yield the :class:`Interaction` batches of an epoch, from batch ``first`` on; some may be empty."""
        order = stream(self.seed, "shuffle", epoch).permutation(self.count)
        planted, of_batch = self._hosts(order, epoch)
        negatives = keyed.key(self.seed, "negatives", epoch)
        for index in range(first, len(self)):
            numbers = order[index * self.step : (index + 1) * self.step]
            numbers = numbers[self.named[numbers] >= 0]
            guests = planted[of_batch[index] : of_batch[index + 1]]
            examples = np.concatenate([self.named[numbers], self.planted[guests]])
            numbers = np.concatenate([numbers, self.planted_numbers[guests]])
            yield self._batch(examples, numbers, negatives) if len(examples) else Interaction({})

    def _hosts(self, order: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the planted examples' places, batch by batch, and the offsets of the batches into them."""
        batch_of = np.empty(self.count, dtype=np.int64)
        batch_of[order] = np.arange(self.count) // self.step
        drawn = keyed.integers(
            self.count, keyed.key(self.seed, "planted", epoch), torch.from_numpy(self.planted_numbers)
        )
        batches = batch_of[drawn.numpy()]
        places = np.argsort(batches, kind="stable")
        return places, np.searchsorted(batches[places], np.arange(len(self) + 1))

    def _batch(self, examples: np.ndarray, numbers: np.ndarray, key: int) -> Interaction:
        """Return the batch of examples with their numbers and, by these, their negatives."""
        batch = self.dataset.collate(examples)
        batch[NUMBER] = torch.from_numpy(numbers)
        found = self.negatives.add(batch, _by_number(key, numbers))
        copies = len(found) // len(batch)
        if copies > 1:
            found[NUMBER] = (torch.arange(copies).unsqueeze(1) * _COPY + batch[NUMBER]).flatten()
        return found


def _by_number(key: int, numbers: np.ndarray) -> Uniforms:
    """Return draws by (key, turn, copy, number); the places are those of all numbers' first copies, then the second."""

    def draw(turn: int, places: np.ndarray) -> np.ndarray:
        copies, at = np.divmod(places, len(numbers))
        copy = torch.from_numpy(copies) if copies.any() else 0
        return keyed.uniform(key, turn, copy, torch.from_numpy(numbers[at])).numpy()

    return draw
