"""Training batches: examples in a seeded random order, with their negative items."""

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
    """Adds negative items to batches of positives, as ``train_neg_sample_args`` and the model's input type say.

    Pairwise models get a column ``neg_item_id``. Pointwise models get the negatives as further rows with label 0.
    Models that use no negatives (full softmax, auto-encoders) have ``train_neg_sample_args: null``.

    Raises:
        UserError: the loss compares pairs of items, and negative sampling is switched off.
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
        elif self._compares(config):
            raise UserError(
                "train_neg_sample_args: a pairwise model needs negatives, but none are drawn; set distribution: uniform"
            )

    def _compares(self, config: Config) -> bool:
        """Return whether the loss compares a positive with a negative item. A softmax and an auto-encoder do not."""
        pairwise = self.input_type is InputType.PAIRWISE and config["loss_type"] in (None, "BPR")
        return pairwise and not config["MODEL_READS_ROWS"]

    @property
    def rows_per_example(self) -> int:
        """Number of batch rows that one positive takes, including its negatives."""
        return max(self.times + (self.input_type is InputType.POINTWISE), 1)

    @property
    def by_person(self) -> bool:
        """Whether negatives are drawn per user, among the items that the user has no training interaction with."""
        return self.times > 0 and self.sampler.of == "uid_field"

    def forget(self, rows: np.ndarray) -> None:
        """Update the sampler after log rows (int64) were forgotten.

        Their items can be negatives of their users again, and no longer count towards an item's popularity.
        """
        if self.times:
            self.sampler.forget(rows)

    def add(self, batch: Interaction, uniforms: Uniforms, times: int | None = None) -> Interaction:
        """Return ``batch`` with ``times`` (default ``sample_num``) negatives for each positive.

        Args:
            batch: positives.
            uniforms: random numbers; the places number the first negatives of all positives, then their second ones,
                and so on.
            times: negatives for each positive.
        """
        if not self.times:
            return batch
        return self.beside(batch, self.draw(batch[self.given].numpy(), uniforms, times).reshape(-1))

    def draw(self, ids: np.ndarray, uniforms: Uniforms, times: int | None = None) -> np.ndarray:
        """Return negative item ids, int64 [times, n].

        Args:
            ids: int64 [n], the values of the positives in the field :attr:`given`.
            uniforms: random numbers, with places as in :meth:`add`.
            times: negatives for each positive; ``sample_num`` if None.
        """
        times = self.times if times is None else times
        return self.sampler.sample(np.tile(ids, times), uniforms).reshape(times, len(ids))

    def alone(self, batch: Interaction, negatives: np.ndarray) -> Interaction:
        """Return a batch with one row per positive that holds its negative (item ids, int64 [len(batch)]).

        For a pairwise model the row also holds the positive. For a pointwise one the negative replaces it, with label
        0.
        """
        rows = batch.repeat(1)
        if self.input_type is InputType.PAIRWISE:
            rows[self.negative_field] = torch.as_tensor(negatives)
        else:
            rows[self.iid_field] = torch.as_tensor(negatives)
            rows[self.label_field] = torch.zeros(len(rows))
        return rows

    def like(
        self, batch: Interaction, other: Interaction, places: np.ndarray | torch.Tensor, times: int
    ) -> Interaction:
        """Return ``batch`` with the negatives that its positives have in ``other``, which :meth:`add` returned.

        Args:
            batch: positives.
            other: a batch of positives with ``times`` negatives each.
            places: int64 [len(batch)], index of each positive among the positives of ``other``.
            times: negatives for each positive.
        """
        if not self.times:
            return batch
        pairwise = self.input_type is InputType.PAIRWISE
        negatives = other[self.negative_field] if pairwise else other[self.iid_field][other[self.label_field] == 0]
        return self.beside(batch, negatives.view(times, -1)[:, places].reshape(-1))

    def beside(self, batch: Interaction, negatives: torch.Tensor | np.ndarray) -> Interaction:
        """Return ``batch`` combined with ``times * len(batch)`` negative item ids.

        The negatives are ordered like those of :meth:`add`: first one for each positive, then a second for each, and so
        on.
        """
        negatives = torch.as_tensor(negatives)
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
"""Column of a training batch: the permanent number of the row's example (:class:`~recbole.data.dataset.Given`).

The c-th copy of an example, counted from 0 and made for its negatives, has ``c * 2**40`` added.
"""

_DRAWN_AT_ONCE = 2**17
"""Number of negatives drawn in one call; they take 1 MiB."""

_COPY = 2**40
"""Added c times to the number of a row of the c-th copy, counted from 0."""


class TrainBatches:
    """The training batches of every epoch; a batch is a function of (seed, epoch, batch index) and the mask.

    All examples that the data held at the start (:class:`~recbole.data.dataset.Given`) are shuffled and cut into
    batches. An example that was forgotten since is left out of its batch, which may become empty. An injected example
    is appended to the batch of a genuine example that it draws. So forgetting or injecting examples moves no other
    example.

    Args:
        config: reads ``train_batch_size``, ``seed``, ``shuffle``, ``train_neg_sample_args``.
        dataset: the training data under the mask to train on.
        input_type: the model's :class:`~recbole.utils.InputType`.

    Raises:
        UserError: no training example is left.
    """

    def __init__(self, config: Config, dataset: Dataset, input_type: InputType) -> None:
        self.dataset, self.seed, self.count = dataset, config["seed"], dataset.given.count
        self.negatives, self.shuffle = Negatives(config, dataset, input_type), config["shuffle"] is not False
        self.step = max(int(config["train_batch_size"]) // self.negatives.rows_per_example, 1)
        examples = dataset.train_examples()
        if not len(examples):
            raise UserError(f"{dataset.log.name}: no training example is left")
        numbers = dataset.given.numbers_of(examples)
        self.named = np.full(dataset.given.numbers.max(initial=self.count - 1) + 1, -1)
        self.named[numbers] = examples  # number to example; -1 where it is forgotten

    def __len__(self) -> int:
        return math.ceil(self.count / self.step)

    @property
    def block(self) -> int:
        """Number of batches whose negatives are drawn in one call: many, within a small amount of memory."""
        return max(_DRAWN_AT_ONCE // (self.step * max(self.negatives.times, 1)), 1)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Interaction]:
        """Yield the :class:`Interaction` batches of an epoch, from index ``first`` on; a batch may be empty."""
        shuffled = self.shuffle
        order = stream(self.seed, "shuffle", epoch).permutation(self.count) if shuffled else np.arange(self.count)
        injected, of_batch = self._hosts(order, epoch)
        negatives = keyed.key(self.seed, "negatives", epoch)
        for start in range(first, len(self), self.block):
            numbers = []
            for index in range(start, min(start + self.block, len(self))):
                genuine = order[index * self.step : (index + 1) * self.step]
                numbers += [genuine[self.named[genuine] >= 0], injected[of_batch[index] : of_batch[index + 1]]]
            yield from self._batches(numbers, negatives)

    def _hosts(self, order: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers (int64) of the injected examples, batch after batch, and offsets int64 [batches + 1]."""
        numbers = np.arange(self.count, len(self.named))
        numbers = numbers[self.named[numbers] >= 0]
        batch_of = np.empty(self.count, dtype=np.int64)
        batch_of[order] = np.arange(self.count) // self.step
        drawn = keyed.integers(self.count, keyed.key(self.seed, "planted", epoch), torch.from_numpy(numbers))
        batches = batch_of[drawn.numpy()]
        places = np.argsort(batches, kind="stable")
        return numbers[places], np.searchsorted(batches[places], np.arange(len(self) + 1))

    def _batches(self, parts: list[np.ndarray], key: int) -> Iterator[Interaction]:
        """Yield a batch for every two arrays of ``parts``, with negatives keyed by the examples' numbers.

        Args:
            parts: for each batch the numbers of its genuine examples, and those of its injected examples.
            key: the key of the negatives' random numbers in this epoch.
        """
        numbers = np.concatenate(parts)
        examples, drawn, stop = self.named[numbers], None, 0
        if self.negatives.times:
            ids = self.dataset.ids_of(examples, self.negatives.given)
            drawn = self.negatives.draw(ids, _by_number(key, numbers))
        for size in (len(genuine) + len(planted) for genuine, planted in zip(parts[::2], parts[1::2], strict=True)):
            start, stop = stop, stop + size
            if not size:
                yield Interaction({})
                continue
            batch = self.dataset.collate(examples[start:stop])
            batch[NUMBER] = torch.from_numpy(numbers[start:stop])
            if drawn is not None:
                batch = self.negatives.beside(batch, drawn[:, start:stop].reshape(-1))
            copies = len(batch) // size
            if copies > 1:
                batch[NUMBER] = (torch.arange(copies).unsqueeze(1) * _COPY + batch[NUMBER][:size]).flatten()
            yield batch


def _by_number(key: int, numbers: np.ndarray) -> Uniforms:
    """Return :data:`Uniforms` that depend on (key, turn, copy, number).

    Their places number the first copies of all ``numbers``, then the second copies, and so on.
    """

    def draw(turn: int, places: np.ndarray) -> np.ndarray:
        copies, at = np.divmod(places, len(numbers))
        copy = torch.from_numpy(copies) if copies.any() else 0
        return keyed.uniform(key, turn, copy, torch.from_numpy(numbers[at])).numpy()

    return draw
