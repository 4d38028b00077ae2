"""SASRec: self-attention over sessions."""

import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset
from recbole.model.keyed_dropout import KeyedDropout
from recbole.model.layers import TransformerEncoder
from recbole.model.next_item import NextItemRecommender


class SASRec(NextItemRecommender):
    """Causal self-attention over the session's items; the last position's output predicts the next item.

    W.-C. Kang, J. McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018 (equation numbers not checked).
    As in RecBole, layers are normalised after each residual and use GELU (as BERT does), and the loss is a softmax over
    all items at the last position, not one sampled negative at each position.
    """

    selective = ("item_embedding.weight",)

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        d, eps = config["hidden_size"], config["layer_norm_eps"]
        self.initializer_range = config["initializer_range"]
        self.item_embedding = nn.Embedding(self.n_items, d, padding_idx=0)
        self.position_embedding = nn.Embedding(self.max_seq_length, d)
        self.trm_encoder = TransformerEncoder(
            config["n_layers"],
            config["n_heads"],
            d,
            config["inner_size"],
            config["hidden_dropout_prob"],
            config["attn_dropout_prob"],
            config["hidden_act"],
            eps,
        )
        self.LayerNorm = nn.LayerNorm(d, eps=eps)
        self.dropout = KeyedDropout(config["hidden_dropout_prob"])
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        """Draw the weights of a linear or embedding layer from N(0, initializer_range^2); set biases to 0."""
        if isinstance(module, (nn.Linear, nn.Embedding)):
            module.weight.data.normal_(std=self.initializer_range)
        if isinstance(module, nn.Linear):
            module.bias.data.zero_()

    def forward(self, item_seq: torch.Tensor, item_seq_len: torch.Tensor) -> torch.Tensor:
        """Return the session vectors, float [batch, d]; arguments as in :meth:`NextItemRecommender.forward`."""
        position = torch.arange(item_seq.shape[1], device=item_seq.device)
        embedded = self.item_embedding(item_seq) + self.position_embedding(position)
        hidden = self.dropout(self.LayerNorm(embedded))
        return self.trm_encoder.last(hidden, self.get_attention_mask(item_seq), item_seq_len - 1)
