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
    """A function that takes a data set and a batch, and returns the batch with further columns."""

    def __call__(self, dataset: Dataset, interaction: Interaction) -> Interaction:
        """Return the batch with further columns."""


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
        self.config[key] = name
        setattr(self, key, name)
        return name

    def _of_rows(self, interaction: Interaction, change: Callable[[list[int], int], list[int]]) -> torch.Tensor:
        """Return the sequences after applying ``change`` to each (item ids, length), int64 with the same shape."""
        rows, lengths = interaction[self.ITEM_SEQ].tolist(), interaction[self.ITEM_SEQ_LEN].tolist()
        changed = [change(row, length) for row, length in zip(rows, lengths, strict=True)]
        return torch.tensor(changed, device=interaction[self.ITEM_SEQ].device)


class InverseItemSequence(_OfSequences):
    """Adds ``INVERSE_ITEM_SEQ``: sequences with the padding zeros first instead of last."""

    INVERSE_ITEM_SEQ: str

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._named("INVERSE_ITEM_SEQ", f"Inverse_{self.ITEM_SEQ}")

    def __call__(self, dataset: Dataset, interaction: Interaction) -> Interaction:
        """Add the left-padded sequences to the batch."""
        interaction[self.INVERSE_ITEM_SEQ] = self._of_rows(interaction, lambda row, n: row[n:] + row[:n])
        return interaction


class CropItemSequence(_OfSequences):
    """Adds ``CROP_ITEM_SEQ``: a contiguous share ``eta`` of each sequence's items, from a random position."""

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
    """Adds ``REORDER_ITEM_SEQ``: sequences in which a contiguous share ``beta`` of the items is shuffled."""

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
    """Adds ``MASK_ITEM_SEQ``: sequences in which each item is masked with probability ``mask_ratio``.

    With probability ``ft_ratio``, for a whole batch, the last item of each sequence is masked instead. A masked item is
    replaced by the id ``n_items``. ``POS_ITEMS`` are the original ids, ``NEG_ITEMS`` a random item outside the sequence
    for each, ``MASK_INDEX`` the positions.
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
            """Return a sequence with masked items, and store the original ids."""
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
