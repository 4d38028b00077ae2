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
    A model that takes none (a full softmax, an auto-encoder) has ``train_neg_sample_args: null``.
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
            raise UserError("train_neg_sample_args: a pairwise model needs negatives; set distribution: uniform")

    def _compares(self, config: Config) -> bool:
        """Return whether the loss compares an example's two items; a softmax's and an auto-encoder's do not."""
        pairwise = self.input_type is InputType.PAIRWISE and config["loss_type"] in (None, "BPR")
        return pairwise and not config["MODEL_READS_ROWS"]

    @property
    def rows_per_example(self) -> int:
        """How many rows of a batch one positive makes."""
        return max(self.times + (self.input_type is InputType.POINTWISE), 1)

    @property
    def by_person(self) -> bool:
        """Whether negatives are drawn, and among what the person does not have."""
        return self.times > 0 and self.sampler.of == "uid_field"

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
        return self.beside(batch, self.draw(batch[self.given].numpy(), uniforms, times).reshape(-1))

    def draw(self, ids: np.ndarray, uniforms: Uniforms, times: int | None = None) -> np.ndarray:
        """Return negatives alone, int64 [times, n], for positives with ids (int64 [n]) in the field :attr:`given`."""
        times = self.times if times is None else times
        return self.sampler.sample(np.tile(ids, times), uniforms).reshape(times, len(ids))

    def alone(self, batch: Interaction, negatives: np.ndarray) -> Interaction:
        """Return a batch with one negative (int64 [len(batch)]) for each positive, without the positives' own rows.

        A pairwise model has no such rows; for a pointwise one the negatives stand where the positives were.
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
        return self.beside(batch, negatives.view(times, -1)[:, places].reshape(-1))

    def beside(self, batch: Interaction, negatives: torch.Tensor | np.ndarray) -> Interaction:
        """Put ``times * len(batch)`` negatives, all positives' first ones first, beside their positives."""
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
"""The column of a training batch that holds the permanent numbers of its examples; a negative's row has its own."""

_DRAWN_AT_ONCE = 2**17
"""How many negatives are drawn in one call: 1 MiB."""

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
        self.negatives, self.shuffle = Negatives(config, dataset, input_type), config["shuffle"] is not False
        self.step = max(int(config["train_batch_size"]) // self.negatives.rows_per_example, 1)
        examples = dataset.train_examples()
        if not len(examples):
            raise UserError(f"{dataset.log.name}: no training example is left")
        numbers = dataset.given.numbers_of(examples)
        self.named = np.full(dataset.given.numbers.max(initial=self.count - 1) + 1, -1)
        self.named[numbers] = examples  # the example of each number; -1 where it is forgotten

    def __len__(self) -> int:
        return math.ceil(self.count / self.step)

    @property
    def block(self) -> int:
        """How many batches have their negatives drawn at once: enough that the calls cost nothing, of little memory."""
        return max(_DRAWN_AT_ONCE // (self.step * max(self.negatives.times, 1)), 1)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Interaction]:
        """Yield the :class:`Interaction` batches of an epoch, from batch ``first`` on; some may be empty."""
        shuffled = self.shuffle
        order = stream(self.seed, "shuffle", epoch).permutation(self.count) if shuffled else np.arange(self.count)
        planted, of_batch = self._hosts(order, epoch)
        negatives = keyed.key(self.seed, "negatives", epoch)
        for start in range(first, len(self), self.block):
            numbers = []
            for index in range(start, min(start + self.block, len(self))):
                genuine = order[index * self.step : (index + 1) * self.step]
                numbers += [genuine[self.named[genuine] >= 0], planted[of_batch[index] : of_batch[index + 1]]]
            yield from self._batches(numbers, negatives)

    def _hosts(self, order: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the planted examples' numbers, batch by batch, and the offsets of the batches into them."""
        numbers = np.arange(self.count, len(self.named))
        numbers = numbers[self.named[numbers] >= 0]
        batch_of = np.empty(self.count, dtype=np.int64)
        batch_of[order] = np.arange(self.count) // self.step
        drawn = keyed.integers(self.count, keyed.key(self.seed, "planted", epoch), torch.from_numpy(numbers))
        batches = batch_of[drawn.numpy()]
        places = np.argsort(batches, kind="stable")
        return numbers[places], np.searchsorted(batches[places], np.arange(len(self) + 1))

    def _batches(self, parts: list[np.ndarray], key: int) -> Iterator[Interaction]:
        """Yield the batches of examples given by their numbers, two parts a batch, with negatives by these numbers."""
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
    """Return draws by (key, turn, copy, number); the places are those of all numbers' first copies, then the second."""

    def draw(turn: int, places: np.ndarray) -> np.ndarray:
        copies, at = np.divmod(places, len(numbers))
        copy = torch.from_numpy(copies) if copies.any() else 0
        return keyed.uniform(key, turn, copy, torch.from_numpy(numbers[at])).numpy()

    return draw
