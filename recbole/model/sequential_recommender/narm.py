"""NARM: a recurrent network with attention over sessions."""

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from recbole.config import Config
from recbole.data import Dataset
from recbole.model.init import xavier_normal_initialization
from recbole.model.keyed_dropout import KeyedDropout
from recbole.model.next_item import NextItemRecommender, pack
from recbole.model.recurrent import run_gru


class NARM(NextItemRecommender):
    """A GRU reads the session; attention with the last state as query selects the relevant items.

    With states ``h_1 .. h_t``: ``alpha_j = v . sigmoid(A1 h_j + A2 h_t)``, ``c = [sum_j alpha_j h_j ; h_t]``. The score
    of an item with embedding ``e`` is ``e . B c``. The attention weights ``alpha`` are not normalised.

    J. Li et al., "Neural Attentive Session-based Recommendation", CIKM 2017 (equation numbers not checked).
    """

    selective = ("item_embedding.weight", "b.weight")

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        d, hidden = config["embedding_size"], config["hidden_size"]
        self.item_embedding = nn.Embedding(self.n_items, d, padding_idx=0)
        self.emb_dropout = KeyedDropout(config["dropout_probs"][0])
        self.gru = nn.GRU(d, hidden, config["n_layers"], bias=False, batch_first=True)
        self.a_1 = nn.Linear(hidden, hidden, bias=False)
        self.a_2 = nn.Linear(hidden, hidden, bias=False)
        self.v_t = nn.Linear(hidden, 1, bias=False)
        self.ct_dropout = KeyedDropout(config["dropout_probs"][1])
        self.b = nn.Linear(2 * hidden, d, bias=False)
        self.apply(xavier_normal_initialization)

    def forward(self, item_seq: torch.Tensor, item_seq_len: torch.Tensor) -> torch.Tensor:
        """Return the session vectors, float [batch, d]; arguments as in :meth:`NextItemRecommender.forward`."""
        packed, row, position = pack(item_seq, item_seq_len)
        embedded = self.emb_dropout(self.item_embedding(packed.data), row, position)
        states, last = run_gru(self.gru, PackedSequence(embedded, *packed[1:]))
        alpha = self.v_t(torch.sigmoid(self.a_1(states) + self.a_2(last).index_select(0, row)))
        local = torch.zeros_like(last).index_add(0, row, alpha * states)
        return self.b(self.ct_dropout(torch.cat([local, last], dim=1)))
