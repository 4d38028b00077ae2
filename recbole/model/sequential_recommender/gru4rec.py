"""GRU4Rec."""

import torch
from torch import nn
from torch.nn.init import xavier_normal_, xavier_uniform_
from torch.nn.utils.rnn import PackedSequence

from recbole.config import Config
from recbole.data import Dataset
from recbole.model.keyed_dropout import KeyedDropout
from recbole.model.next_item import NextItemRecommender, pack
from recbole.model.recurrent import run_gru


class GRU4Rec(NextItemRecommender):
    """A recurrent network reads the session; its last state, mapped to item space, predicts the next item.

    B. Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016, as Y. K. Tan et al.,
    "Improved Recurrent Neural Networks for Session-based Recommendations", DLRS 2016, train it: every prefix is an
    example (equation numbers not checked). RecBole's version: item embeddings, no biases in the GRU, softmax over all
    items instead of sampled ranking losses.
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
        """Return the vectors [batch, d]; see :meth:`NextItemRecommender.forward`."""
        packed, *places = pack(item_seq, item_seq_len)
        embedded = self.emb_dropout(self.item_embedding(packed.data), *places)
        _, last = run_gru(self.gru_layers, PackedSequence(embedded, *packed[1:]))
        return self.dense(last)
