"""Base class of session-based models that score items by inner products of a session vector and item embeddings."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.model.loss import BPRLoss
from recbole.model.table_softmax import rows_at_once, table_cross_entropy
from recbole.utils import UserError

_LOSSES = {"CE": nn.CrossEntropyLoss, "BPR": BPRLoss}


def pack(item_seq: torch.Tensor, item_seq_len: torch.Tensor) -> tuple[PackedSequence, torch.Tensor, torch.Tensor]:
    """Pack padded sequences, so that no computation is spent on padding.

    Args:
        item_seq: int64 [batch, width], item ids padded on the right.
        item_seq_len: int64 [batch], lengths, at least 1.

    Returns:
        ``(packed, row, position)``: the ``PackedSequence`` of item ids, and for each packed item its row in the batch
        and its position in the sequence, both int64 [items].
    """
    rows, width = item_seq.shape
    place = torch.arange(rows * width, device=item_seq.device).view(rows, width)
    lengths = item_seq_len.cpu()
    items, places = (
        pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False) for x in (item_seq, place)
    )
    return items, places.data // width, places.data % width


def begun_alike(item_seq: torch.Tensor, item_seq_len: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the sequences in a batch that are not a prefix (beginning) of another one.

    Args:
        item_seq: int64 [batch, width], item ids padded with 0 on the right.
        item_seq_len: int64 [batch], lengths.

    Returns:
        ``(longest, of)``. ``longest``, int64: row indices of the sequences that are not a prefix of another one (of
        equal sequences only one), sorted by item ids. ``of``, int64 [batch]: for each row of the batch, the index in
        ``longest`` of a sequence that begins with it or equals it.
    """
    items = item_seq.cpu().numpy()
    order = np.lexsort(items.T[::-1])  # a prefix sorts directly before its continuations, as padding is smallest
    items, lengths = items[order], item_seq_len.cpu().numpy()[order]
    differ = items[:-1] != items[1:]
    first = np.where(differ.any(axis=1), differ.argmax(axis=1), items.shape[1])
    ends = np.append(first < lengths[:-1], True)
    run = np.empty(len(order), dtype=np.int64)
    run[order] = np.cumsum(ends) - ends
    return torch.from_numpy(order[ends]).to(item_seq.device), torch.from_numpy(run).to(item_seq.device)


class NextItemRecommender(SequentialRecommender, ABC):
    """Encodes a sequence as a vector, and scores an item by the inner product of this vector and the item's embedding.

    A subclass defines ``item_embedding`` and :meth:`forward`. The loss is the softmax cross-entropy over all items,
    including the padding row as in RecBole, or the BPR loss with sampled negatives (``loss_type: BPR``).
    """

    trims = True
    rebuild_changes_scores = False
    item_embedding: nn.Embedding

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.loss_type = config["loss_type"]
        if self.loss_type not in _LOSSES:
            raise UserError(f"loss_type: '{self.loss_type}' is not CE or BPR")
        self.loss_fct = _LOSSES[self.loss_type]()

    def rebuild(self, dataset: Dataset) -> None:
        """Do nothing: the model derives nothing from the data."""

    @abstractmethod
    def forward(self, item_seq: torch.Tensor, item_seq_len: torch.Tensor) -> torch.Tensor:
        """Return the sequences' vectors, float [batch, d].

        Args:
            item_seq: int64 [batch, width], item ids, oldest first, padded with 0 on the right.
            item_seq_len: int64 [batch], sequence lengths, at least 1.
        """

    def _encode(self, interaction: Interaction) -> torch.Tensor:
        """Return the vectors of a batch's sequences, float [batch, d]."""
        return self.forward(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])

    @property
    def is_cross_entropy(self) -> bool:
        """Whether the loss is this class's cross-entropy.

        False if ``loss_type`` is BPR, or if a subclass overrides ``calculate_loss``, ``outputs`` or ``loss_of``.
        """
        ours = (getattr(getattr(self, name), "__func__", None) for name in ("calculate_loss", "outputs", "loss_of"))
        own = NextItemRecommender.calculate_loss, NextItemRecommender.outputs, NextItemRecommender.loss_of
        return self.loss_type == "CE" and tuple(ours) == own

    def reads(self) -> dict[str, tuple[str, ...]]:
        """Return the item table with the batch fields of its row ids for the BPR loss; {} for the cross-entropy.

        See :meth:`AbstractRecommender.reads`. The cross-entropy reads all rows in every batch.
        """
        if self.loss_type == "CE":
            return {}
        return {"item_embedding.weight": (self.ITEM_SEQ, self.POS_ITEM_ID, self.NEG_ITEM_ID)}

    def pieces(self, interaction: Interaction) -> list[Interaction]:
        """Split a batch into smaller batches of sequences with similar length, each cut to its longest sequence."""
        lengths, size = interaction[self.ITEM_SEQ_LEN], rows_at_once(self.n_items if self.loss_type == "CE" else 2)
        return [self._cut(interaction[rows]) for rows in torch.argsort(lengths, stable=True).split(size)]

    def _cut(self, interaction: Interaction) -> Interaction:
        """Return a batch with its padded sequences cut to the length of the longest one."""
        width = int(interaction[self.ITEM_SEQ_LEN].max())
        return Interaction(interaction.interaction | {self.ITEM_SEQ: interaction[self.ITEM_SEQ][:, :width]})

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the mean loss of the batch's target (next) items, a scalar."""
        return self.loss_of(self.outputs(interaction), interaction)

    def loss_sum(self, interaction: Interaction, outputs: torch.Tensor | None = None) -> torch.Tensor:
        """Return the loss summed over the batch, a scalar; a cross-entropy without storing all scores at once.

        If ``outputs`` (the result of :meth:`outputs` for the batch) is given, the loss is computed from them.
        """
        if outputs is not None or not self.is_cross_entropy:
            return super().loss_sum(interaction, outputs)
        encoded = self._encode(interaction)
        return table_cross_entropy(encoded, self.item_embedding.weight, interaction[self.POS_ITEM_ID])

    def factors(self, interaction: Interaction) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """Return ``(sequence vectors, item table, target items)``, or None if the loss is not the cross-entropy.

        See :meth:`AbstractRecommender.factors`.
        """
        if not self.is_cross_entropy:
            return None
        return self._encode(interaction), self.item_embedding.weight, interaction[self.POS_ITEM_ID]

    def outputs(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores in the loss: of all items [batch, n_items], or for BPR of (target, negative) [batch, 2]."""
        encoded = self._encode(interaction)
        if self.loss_type == "CE":
            return encoded @ self.item_embedding.weight.T
        items = torch.stack([interaction[self.POS_ITEM_ID], interaction[self.NEG_ITEM_ID]], dim=1)
        return (encoded.unsqueeze(1) * self.item_embedding(items)).sum(dim=-1)

    def loss_of(self, outputs: torch.Tensor, interaction: Interaction) -> torch.Tensor:
        """Return the mean loss of the batch's target (next) items, a scalar, given the scores of :meth:`outputs`."""
        if self.loss_type == "CE":
            return self.loss_fct(outputs, interaction[self.POS_ITEM_ID])
        return self.loss_fct(*outputs.unbind(dim=1))

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of the (sequence, item) pairs, float [batch]."""
        return (self._encode(interaction) * self.item_embedding(interaction[self.ITEM_ID])).sum(dim=-1)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        return torch.matmul(self._encode(interaction), self.item_embedding.weight.T)
