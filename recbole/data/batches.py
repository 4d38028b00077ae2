"""Training batches: examples in a seeded random order, each with its sampled negative items."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from recbole.data.batch_fields import NUMBER
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.data.sampler import NegativeSampler, NextItemSampler, Uniforms
from recbole.utils import InputType, UserError, keyed, stream

if TYPE_CHECKING:
    from recbole.config import Config


class Negatives:
    """Adds sampled negative items to batches of training examples (positives).

    The setting ``train_neg_sample_args`` determines the distribution and the number of negatives per positive. For
    pairwise models they become a column ``neg_item_id``, for pointwise models further rows with label 0. Models that
    use no negatives (full softmax, auto-encoders) have ``train_neg_sample_args: null``.

    Args:
        config: the run's :class:`~recbole.config.Config`.
        dataset: the training data; forgotten rows do not count.
        input_type: the model's :class:`~recbole.utils.InputType`.

    Attributes:
        times: number of negatives for each positive; 0 if negative sampling is switched off.
        given: name of the batch column with the ids that the sampler needs: user ids, or in SBR the target's item ids.
            It is not set if negative sampling is switched off.

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
        """Return whether the loss compares a positive with a negative item, unlike a softmax or an auto-encoder's."""
        pairwise = self.input_type is InputType.PAIRWISE and config["loss_type"] in (None, "BPR")
        return pairwise and not config["MODEL_READS_ROWS"]

    @property
    def rows_per_example(self) -> int:
        """Number of batch rows that one positive takes, including its negatives."""
        return max(self.times + (self.input_type is InputType.POINTWISE), 1)

    @property
    def by_person(self) -> bool:
        """Whether negatives are items without a training interaction of the user; False in SBR or without negatives."""
        return self.times > 0 and self.sampler.of == "uid_field"

    def forget(self, rows: np.ndarray) -> None:
        """Update the sampler after log rows (int64) were forgotten.

        The item of such a row can then be a negative of its user, and the row no longer counts in the item's
        popularity.
        """
        if self.times:
            self.sampler.forget(rows)

    def add(self, batch: Interaction, uniforms: Uniforms, times: int | None = None) -> Interaction:
        """Draw negatives for a batch, and return the batch with them; without negative sampling, return it unchanged.

        Args:
            batch: the n positives.
            uniforms: function that returns the random numbers, see :data:`~recbole.data.sampler.Uniforms`. The
                negatives are numbered from ``0`` to ``n - 1`` for the first of each positive, from ``n`` to ``2n - 1``
                for the second, and so on.
            times: number of negatives for each positive; None for the setting ``sample_num``.
        """
        if not self.times:
            return batch
        return self.beside(batch, self.draw(batch[self.given].numpy(), uniforms, times).reshape(-1))

    def draw(self, ids: np.ndarray, uniforms: Uniforms, times: int | None = None) -> np.ndarray:
        """Draw negative items for n positives; return item ids, int64 [times, n].

        Args:
            ids: int64 [n], the values of the positives in the field :attr:`given`.
            uniforms: function that returns the random numbers, as in :meth:`add`.
            times: number of negatives for each positive; None for the setting ``sample_num``.
        """
        times = self.times if times is None else times
        return self.sampler.sample(np.tile(ids, times), uniforms).reshape(times, len(ids))

    def alone(self, batch: Interaction, negatives: np.ndarray) -> Interaction:
        """Return a batch with one row for each positive, in which a given negative is used.

        For a pairwise model each row holds the positive and its negative. For any other model the negative replaces the
        positive item, with label 0.

        Args:
            batch: the positives.
            negatives: int64 [len(batch)], an item id for each positive.
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
        """Return ``batch`` with the same negatives as in another batch that contains its positives.

        Args:
            batch: positives.
            other: a batch that :meth:`add` returned, with ``times`` negatives for each positive.
            places: int64 [len(batch)], index of each positive of ``batch`` among the positives of ``other``.
            times: number of negatives for each positive in ``other``.
        """
        if not self.times:
            return batch
        pairwise = self.input_type is InputType.PAIRWISE
        negatives = other[self.negative_field] if pairwise else other[self.iid_field][other[self.label_field] == 0]
        return self.beside(batch, negatives.view(times, -1)[:, places].reshape(-1))

    def beside(self, batch: Interaction, negatives: torch.Tensor | np.ndarray) -> Interaction:
        """Return a batch of n positives combined with given negatives, several for each positive.

        For a pairwise model, the batch has a row for each pair of a positive and one of its negatives. For any other
        model, the positives (label 1) are followed by the negatives (label 0).

        Args:
            batch: the positives.
            negatives: int64 [times * n], item ids: first one for each positive, then a second for each, and so on.
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


_DRAWN_AT_ONCE = 2**17
"""Number of negatives drawn in one call; they take 1 MiB."""

_COPY = 2**40
"""The number added c times to an example's number in its c-th row, counted from 0."""


class TrainBatches:
    """The training batches of every epoch. A batch depends only on seed, epoch, batch index and what is forgotten.

    All genuine examples, forgotten ones included (:class:`~recbole.data.dataset.Given`), are shuffled and cut into
    batches. A forgotten example is then left out of its batch, which may become empty. An example that a spam attack
    injected is appended to the batch of a randomly drawn genuine example. Therefore forgetting or injecting examples
    never moves another example to a different batch.

    Args:
        config: reads ``train_batch_size``, ``seed``, ``shuffle``, ``train_neg_sample_args``.
        dataset: the training data; forgotten examples are left out.
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
        """Number of batches whose negatives are drawn in one call, limited by :data:`_DRAWN_AT_ONCE`."""
        return max(_DRAWN_AT_ONCE // (self.step * max(self.negatives.times, 1)), 1)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Interaction]:
        """Yield the :class:`Interaction` batches of an epoch (counted from 0), from batch ``first`` on.

        A batch may be empty.
        """
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
        """Assign each injected example to the batch of a genuine example that is drawn for it.

        Args:
            order: int64 [count], the numbers of the genuine examples in the order of this epoch.
            epoch: the epoch; other epochs draw other batches.

        Returns:
            The numbers of the injected examples (int64), one batch after the other, and offsets (int64 [batches + 1])
            that say where each batch starts.
        """
        numbers = np.arange(self.count, len(self.named))
        numbers = numbers[self.named[numbers] >= 0]
        batch_of = np.empty(self.count, dtype=np.int64)
        batch_of[order] = np.arange(self.count) // self.step
        drawn = keyed.integers(self.count, keyed.key(self.seed, "planted", epoch), torch.from_numpy(numbers))
        batches = batch_of[drawn.numpy()]
        places = np.argsort(batches, kind="stable")
        return numbers[places], np.searchsorted(batches[places], np.arange(len(self) + 1))

    def _batches(self, parts: list[np.ndarray], key: int) -> Iterator[Interaction]:
        """Yield batches with negatives, which are drawn for each example independently of its position in a batch.

        Args:
            parts: two int64 arrays for each batch: the numbers of its genuine and of its injected examples.
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
    """Return :data:`Uniforms` whose random numbers depend on the example, not on its position in a batch.

    A place ``p`` stands for negative ``p // n`` of the example with number ``numbers[p % n]``, where n is
    ``len(numbers)``. ``key`` distinguishes seeds and epochs.
    """

    def draw(turn: int, places: np.ndarray) -> np.ndarray:
        copies, at = np.divmod(places, len(numbers))
        copy = torch.from_numpy(copies) if copies.any() else 0
        return keyed.uniform(key, turn, copy, torch.from_numpy(numbers[at])).numpy()

    return draw
