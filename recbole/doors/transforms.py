"""RecBole's transforms of sequences: each puts further columns beside a batch.

They draw from Python's generator, which a run's seed sets.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

import torch

from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import NotAvailable, suggest


class Transform(Protocol):
    """A function of a data set and a batch."""

    def __call__(self, dataset: Dataset, interaction: Interaction) -> Interaction:
        """Return the batch with further columns."""


class _OfSequences:
    """What the transforms share: the columns of a sequence and of its length.

    Args:
        config: the settings; gets the names of the new columns, by which models ask for them.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ITEM_ID = config["ITEM_ID_FIELD"]
        self.ITEM_SEQ = self.ITEM_ID + config["LIST_SUFFIX"]
        self.ITEM_SEQ_LEN = config["ITEM_LIST_LENGTH_FIELD"]

    def _named(self, key: str, name: str) -> str:
        self.config[key] = name
        setattr(self, key, name)
        return name

    def _of_rows(self, interaction: Interaction, change: Callable[[list[int], int], list[int]]) -> torch.Tensor:
        """Return the sequences after a change of each, given its items and its length, int64 of the same shape."""
        rows, lengths = interaction[self.ITEM_SEQ].tolist(), interaction[self.ITEM_SEQ_LEN].tolist()
        changed = [change(row, length) for row, length in zip(rows, lengths, strict=True)]
        return torch.tensor(changed, device=interaction[self.ITEM_SEQ].device)


class InverseItemSequence(_OfSequences):
    """Sequences that end where they are padded: the zeros come first."""

    INVERSE_ITEM_SEQ: str

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._named("INVERSE_ITEM_SEQ", f"Inverse_{self.ITEM_SEQ}")

    def __call__(self, dataset: Dataset, interaction: Interaction) -> Interaction:
        """Put the inverted sequences beside the batch."""
        interaction[self.INVERSE_ITEM_SEQ] = self._of_rows(interaction, lambda row, n: row[n:] + row[:n])
        return interaction


class CropItemSequence(_OfSequences):
    """A run of ``eta`` of each sequence's items, from anywhere in it."""

    CROP_ITEM_SEQ: str
    CROP_ITEM_SEQ_LEN: str

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.share = float(config["eta"])
        name = self._named("CROP_ITEM_SEQ", f"Crop_{self.ITEM_SEQ}")
        self._named("CROP_ITEM_SEQ_LEN", f"{name}{self.ITEM_SEQ_LEN}")

    def _cropped(self, row: list[int], length: int) -> list[int]:
        kept = int(length * self.share)
        first = random.randint(0, length - kept)
        return row[first : first + kept] + [0] * (len(row) - kept)

    def __call__(self, dataset: Dataset, interaction: Interaction) -> Interaction:
        """Put the cropped sequences and their lengths beside the batch."""
        interaction[self.CROP_ITEM_SEQ] = self._of_rows(interaction, self._cropped)
        interaction[self.CROP_ITEM_SEQ_LEN] = (interaction[self.ITEM_SEQ_LEN] * self.share).long()
        return interaction


class ReorderItemSequence(_OfSequences):
    """Sequences in which a run of ``beta`` of the items is shuffled."""

    REORDER_ITEM_SEQ: str

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.share = float(config["beta"])
        self._named("REORDER_ITEM_SEQ", f"Reorder_{self.ITEM_SEQ}")

    def _reordered(self, row: list[int], length: int) -> list[int]:
        size = int(length * self.share)
        first = random.randint(0, length - size)
        some = row[first : first + size]
        random.shuffle(some)
        return row[:first] + some + row[first + size :]

    def __call__(self, dataset: Dataset, interaction: Interaction) -> Interaction:
        """Put the reordered sequences beside the batch."""
        interaction[self.REORDER_ITEM_SEQ] = self._of_rows(interaction, self._reordered)
        return interaction


class MaskItemSequence(_OfSequences):
    """Sequences in which a share ``mask_ratio`` of the items is hidden, with what was there and a negative for each.

    With the chance ``ft_ratio`` the last item of each sequence of a batch is hidden instead. The hidden items' id is
    the number of ids.
    """

    MASK_ITEM_SEQ: str
    POS_ITEMS: str
    NEG_ITEMS: str
    MASK_INDEX: str

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.share, self.last = float(config["mask_ratio"]), float(config.get("ft_ratio") or 0.0)
        self.width = max(int(self.share * config["MAX_ITEM_LIST_LENGTH"]), 1)
        self._named("MASK_ITEM_SEQ", f"Mask_{self.ITEM_SEQ}")
        self._named("POS_ITEMS", f"Pos_{self.ITEM_ID}")
        self._named("NEG_ITEMS", f"Neg_{self.ITEM_ID}")
        self._named("MASK_INDEX", "MASK_INDEX")

    def __call__(self, dataset: Dataset, interaction: Interaction) -> Interaction:
        """Put the masked sequences, the hidden items, negatives and places beside the batch."""
        n_items, device = dataset.num(self.ITEM_ID), interaction[self.ITEM_SEQ].device
        last = random.random() < self.last
        found: dict[str, list[list[int]]] = {name: [] for name in (self.POS_ITEMS, self.NEG_ITEMS, self.MASK_INDEX)}

        def masked(row: list[int], length: int) -> list[int]:
            """Return a sequence with items hidden, and note what was there."""
            places = [length - 1] if last else [at for at in range(length) if random.random() < self.share]
            negatives = [_other(row, n_items) for _ in places]
            for name, values in ((self.POS_ITEMS, [row[at] for at in places]), (self.NEG_ITEMS, negatives),
                                 (self.MASK_INDEX, places)):  # fmt: skip
                found[name].append(([0] * self.width + values)[-self.width :])
            return [n_items if at in places else item for at, item in enumerate(row)]

        interaction[self.MASK_ITEM_SEQ] = self._of_rows(interaction, masked)
        for name, rows in found.items():
            interaction[name] = torch.tensor(rows, device=device)
        return interaction


def _other(row: list[int], n_items: int) -> int:
    """Return an item that a sequence does not hold."""
    item = random.randint(1, n_items - 1)
    while item in row:
        item = random.randint(1, n_items - 1)
    return item


TRANSFORMS: dict[str, type[Any]] = {
    "mask_itemseq": MaskItemSequence,
    "inverse_itemseq": InverseItemSequence,
    "crop_itemseq": CropItemSequence,
    "reorder_itemseq": ReorderItemSequence,
}


def _same(dataset: Dataset, interaction: Interaction) -> Interaction:
    return interaction


def construct_transform(config: Config) -> Transform:
    """Return the transform that the setting ``transform`` names; without one it changes nothing.

    Raises:
        NotAvailable: there is none of that name here.
    """
    name = config.get("transform")
    if name is None:
        return _same
    if name not in TRANSFORMS:
        raise NotAvailable(
            f"transform: there is no {name!r}{suggest(name, TRANSFORMS)}; known: {', '.join(TRANSFORMS)}"
        )
    transform: Transform = TRANSFORMS[name](config)
    return transform
