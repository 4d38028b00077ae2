"""RecBole's sequence transforms. Each adds columns with augmented sequences to a batch.

They use Python's global random generator, which ``init_seed`` seeds.
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
    """Common base of the transforms: the names of the columns that hold item sequences and their lengths.

    Args:
        config: the settings. The names of the new columns are stored in it for models to read.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ITEM_ID = config["ITEM_ID_FIELD"]
        self.ITEM_SEQ = self.ITEM_ID + config["LIST_SUFFIX"]
        self.ITEM_SEQ_LEN = config["ITEM_LIST_LENGTH_FIELD"]

    def _named(self, key: str, name: str) -> str:
        """Store the name of a new column under ``key``, in the settings and as an attribute; return the name."""
        self.config[key] = name
        setattr(self, key, name)
        return name

    def _of_rows(self, interaction: Interaction, change: Callable[[list[int], int], list[int]]) -> torch.Tensor:
        """Apply ``change`` to each sequence, given its padded item ids and its length; return int64, the same shape."""
        rows, lengths = interaction[self.ITEM_SEQ].tolist(), interaction[self.ITEM_SEQ_LEN].tolist()
        changed = [change(row, length) for row, length in zip(rows, lengths, strict=True)]
        return torch.tensor(changed, device=interaction[self.ITEM_SEQ].device)


class InverseItemSequence(_OfSequences):
    """Adds the column ``INVERSE_ITEM_SEQ``: the sequences padded on the left instead of the right."""

    INVERSE_ITEM_SEQ: str

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._named("INVERSE_ITEM_SEQ", f"Inverse_{self.ITEM_SEQ}")

    def __call__(self, dataset: Dataset, interaction: Interaction) -> Interaction:
        """Add the left-padded sequences to the batch."""
        interaction[self.INVERSE_ITEM_SEQ] = self._of_rows(interaction, lambda row, n: row[n:] + row[:n])
        return interaction


class CropItemSequence(_OfSequences):
    """Adds the column ``CROP_ITEM_SEQ``: a contiguous part of each sequence, from a random position on.

    The setting ``eta`` is the part's share of the sequence's length. ``CROP_ITEM_SEQ_LEN`` is the part's length.
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
        """Add the cropped sequences and their lengths to the batch."""
        interaction[self.CROP_ITEM_SEQ] = self._of_rows(interaction, self._cropped)
        interaction[self.CROP_ITEM_SEQ_LEN] = (interaction[self.ITEM_SEQ_LEN] * self.share).long()
        return interaction


class ReorderItemSequence(_OfSequences):
    """Adds the column ``REORDER_ITEM_SEQ``: the sequences with a contiguous part shuffled.

    The setting ``beta`` is the part's share of the sequence's length; its position is random.
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
        """Add the reordered sequences to the batch."""
        interaction[self.REORDER_ITEM_SEQ] = self._of_rows(interaction, self._reordered)
        return interaction


class MaskItemSequence(_OfSequences):
    """Adds the column ``MASK_ITEM_SEQ``: the sequences with each item masked with probability ``mask_ratio``.

    A masked item is replaced by the id ``n_items``. With probability ``ft_ratio`` (drawn once per batch), only the last
    item of each sequence is masked instead. For the masked items, ``POS_ITEMS`` are the original ids, ``NEG_ITEMS``
    random items that are not in the sequence, and ``MASK_INDEX`` the positions. All three are left-padded with 0.
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
        """Add the masked sequences, the original items, negatives and positions to the batch."""
        n_items, device = dataset.num(self.ITEM_ID), interaction[self.ITEM_SEQ].device
        last = random.random() < self.last
        found: dict[str, list[list[int]]] = {name: [] for name in (self.POS_ITEMS, self.NEG_ITEMS, self.MASK_INDEX)}

        def masked(row: list[int], length: int) -> list[int]:
            """Return a sequence with masked items; append the original ids, negatives and positions to ``found``."""
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
    """Return a random item id that is not in the sequence."""
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
    """Return the transform that the setting ``transform`` names; without the setting, one that changes nothing.

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
