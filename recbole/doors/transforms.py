"""RecBole's sequence transforms, which add columns with changed copies of the item sequences to a batch.

Such augmented sequences serve models with contrastive or masked training. The random ones are drawn from Python's
global random generator, which ``init_seed`` seeds.
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
    """The type of a transform: a function that takes a data set and a batch, and adds columns to the batch."""

    def __call__(self, dataset: Dataset, interaction: Interaction) -> Interaction:
        """Add columns to the batch in place, and return it."""


class _OfSequences:
    """Base class of the transforms of item sequences.

    Args:
        config: the settings. The names of the columns that a transform adds are stored in the settings, under keys that
            models read, such as ``CROP_ITEM_SEQ``.

    Attributes:
        ITEM_ID: name of the column with item ids.
        ITEM_SEQ: name of the column with item sequences: int64 [rows, length], padded on the right with 0.
        ITEM_SEQ_LEN: name of the column with the numbers of items in the sequences.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ITEM_ID = config["ITEM_ID_FIELD"]
        self.ITEM_SEQ = self.ITEM_ID + config["LIST_SUFFIX"]
        self.ITEM_SEQ_LEN = config["ITEM_LIST_LENGTH_FIELD"]

    def _named(self, key: str, name: str) -> str:
        """Store the name of a new column in the settings and as an attribute, both called ``key``; return the name."""
        self.config[key] = name
        setattr(self, key, name)
        return name

    def _of_rows(self, interaction: Interaction, change: Callable[[list[int], int], list[int]]) -> torch.Tensor:
        """Return the changed sequences of a batch.

        Args:
            interaction: the batch.
            change: function that receives a sequence (list of item ids with padding) and its number of items, and
                returns the changed sequence with as many elements.

        Returns:
            int64 [rows, length], on the batch's device.
        """
        rows, lengths = interaction[self.ITEM_SEQ].tolist(), interaction[self.ITEM_SEQ_LEN].tolist()
        changed = [change(row, length) for row, length in zip(rows, lengths, strict=True)]
        return torch.tensor(changed, device=interaction[self.ITEM_SEQ].device)


class InverseItemSequence(_OfSequences):
    """Adds the sequences with the padding on the left instead of the right, as column ``INVERSE_ITEM_SEQ``."""

    INVERSE_ITEM_SEQ: str

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._named("INVERSE_ITEM_SEQ", f"Inverse_{self.ITEM_SEQ}")

    def __call__(self, dataset: Dataset, interaction: Interaction) -> Interaction:
        """Add the left-padded sequences to the batch in place, and return the batch."""
        interaction[self.INVERSE_ITEM_SEQ] = self._of_rows(interaction, lambda row, n: row[n:] + row[:n])
        return interaction


class CropItemSequence(_OfSequences):
    """Adds a random contiguous part of each sequence, as column ``CROP_ITEM_SEQ``.

    The setting ``eta`` (0 to 1) is the part's share of the number of items. The column ``CROP_ITEM_SEQ_LEN`` has the
    number of items in the part.
    """

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
        """Add the cropped sequences and their lengths to the batch in place, and return the batch."""
        interaction[self.CROP_ITEM_SEQ] = self._of_rows(interaction, self._cropped)
        interaction[self.CROP_ITEM_SEQ_LEN] = (interaction[self.ITEM_SEQ_LEN] * self.share).long()
        return interaction


class ReorderItemSequence(_OfSequences):
    """Adds the sequences with a random contiguous part shuffled, as column ``REORDER_ITEM_SEQ``.

    The setting ``beta`` (0 to 1) is the part's share of the number of items.
    """

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
        """Add the reordered sequences to the batch in place, and return the batch."""
        interaction[self.REORDER_ITEM_SEQ] = self._of_rows(interaction, self._reordered)
        return interaction


class MaskItemSequence(_OfSequences):
    """Adds the sequences with random items masked, as column ``MASK_ITEM_SEQ``.

    Each item is masked with probability ``mask_ratio`` (a setting), that is, replaced by the id ``n_items``. In a share
    ``ft_ratio`` of the batches (a setting, by default 0), instead exactly the last item of each sequence is masked.

    Three more columns describe the masked items, int64 [rows, most masked items], padded on the left with 0:
    ``POS_ITEMS`` has the original ids, ``NEG_ITEMS`` random items that are not in the sequence, and ``MASK_INDEX`` the
    positions in the sequence. If more items are masked than fit, the columns contain the last ones.
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
        """Add the four columns with the masked sequences and the masked items to the batch in place, and return it."""
        n_items, device = dataset.num(self.ITEM_ID), interaction[self.ITEM_SEQ].device
        last = random.random() < self.last
        found: dict[str, list[list[int]]] = {name: [] for name in (self.POS_ITEMS, self.NEG_ITEMS, self.MASK_INDEX)}

        def masked(row: list[int], length: int) -> list[int]:
            """Mask items of a sequence; append their ids, as many negative items, and their positions to ``found``."""
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
    """Return a random item id that is not in the sequence ``row``."""
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
    """Return the transform that the setting ``transform`` names, such as ``crop_itemseq``.

    Without the setting, the returned function leaves batches unchanged.

    Raises:
        NotAvailable: there is no such transform.
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
