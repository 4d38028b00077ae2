"""GRU4Rec: a recurrent network over sessions."""

import numpy as np
import torch
from torch import nn
from torch.nn.init import xavier_normal_, xavier_uniform_
from torch.nn.utils.rnn import PackedSequence

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.keyed_dropout import KeyedDropout
from recbole.model.next_item import NextItemRecommender, begun_alike, pack
from recbole.model.recurrent import run_gru

_TOGETHER = 1024
"""Largest number of sequences in each of the smaller batches of :meth:`GRU4Rec.factor_pieces`."""


class GRU4Rec(NextItemRecommender):
    """A GRU reads the session; its last state, projected to the item embedding space, predicts the next item.

    B. Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016. As in Y. K. Tan et al.,
    "Improved Recurrent Neural Networks for Session-based Recommendations", DLRS 2016, each prefix of a session is a
    training example (equation numbers not checked). As in RecBole there are item embeddings, no biases in the GRU, and
    a softmax over all items instead of ranking losses with sampled items.
    """

    selective = ("item_embedding.weight", "dense.weight", "dense.bias")

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        d, hidden = config["embedding_size"], config["hidden_size"]
        self.item_embedding = nn.Embedding(self.n_items, d, padding_idx=0)
        self.emb_dropout = KeyedDropout(config["dropout_prob"])
        self.gru_layers = nn.GRU(d, hidden, config["num_layers"], bias=False, batch_first=True)
        self.dense = nn.Linear(hidden, d)
        xavier_normal_(self.item_embedding.weight)
        xavier_uniform_(self.gru_layers.get_parameter("weight_hh_l0"))
        xavier_uniform_(self.gru_layers.get_parameter("weight_ih_l0"))

    def forward(self, item_seq: torch.Tensor, item_seq_len: torch.Tensor) -> torch.Tensor:
        """Return the session vectors, float [batch, d]; arguments as in :meth:`NextItemRecommender.forward`."""
        packed, *places = pack(item_seq, item_seq_len)
        embedded = self.emb_dropout(self.item_embedding(packed.data), *places)
        _, last = run_gru(self.gru_layers, PackedSequence(embedded, *packed[1:]))
        return self.dense(last)

    def factors(self, interaction: Interaction) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """Return the same as :meth:`NextItemRecommender.factors`, in less time in evaluation mode.

        A sequence that is a prefix of another one in the batch is not encoded again: its vector is computed from a GRU
        state of the longer sequence.
        """
        if self.training or not self._reads_once:
            return super().factors(interaction)
        item_seq, lengths = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        read, run = begun_alike(item_seq, lengths)
        packed, rows, steps = pack(item_seq[read], lengths[read])
        states, _ = run_gru(self.gru_layers, PackedSequence(self.item_embedding(packed.data), *packed[1:]))
        place = torch.empty_like(item_seq[read])
        place[rows, steps] = torch.arange(len(rows), device=rows.device)
        encoded = self.dense(states[place[run, lengths - 1]])
        return encoded, self.item_embedding.weight, interaction[self.POS_ITEM_ID]

    def factor_pieces(self, interaction: Interaction) -> list[Interaction]:
        """Split a batch into smaller batches for :meth:`factors`, after sorting its sequences by their item ids.

        A sequence and its prefixes are thus mostly in the same batch.
        """
        if not self._reads_once:
            return self.pieces(interaction)
        sequences = interaction[self.ITEM_SEQ]
        order = torch.from_numpy(np.lexsort(sequences.cpu().numpy().T[::-1])).to(sequences.device)
        return [self._cut(interaction[rows]) for rows in order.split(_TOGETHER)]

    @property
    def _reads_once(self) -> bool:
        """Whether the vector of a prefix can be computed from the GRU states of a longer sequence.

        This is so with the cross-entropy loss, unless a subclass overrides :meth:`forward`.
        """
        return self.is_cross_entropy and type(self).forward is GRU4Rec.forward
