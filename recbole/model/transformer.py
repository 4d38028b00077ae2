"""Transformer layers with RecBole's parameter names, so that its checkpoints load.

A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arranged as in J. Devlin et al., "BERT", NAACL 2019:
each sub-layer's output is added to its input, then normalised (equation numbers not checked).
"""

import copy
import math
from typing import cast

import torch
from torch import nn

from recbole.model.activation import Activation, activation_layer
from recbole.model.keyed_dropout import KeyedDropout
from recbole.utils import UserError


class MultiHeadAttention(nn.Module):
    """Multi-head self-attention with dropout on the attention weights, a residual and a layer normalisation."""

    def __init__(
        self,
        n_heads: int,
        hidden_size: int,
        hidden_dropout_prob: float,
        attn_dropout_prob: float,
        layer_norm_eps: float,
    ) -> None:
        super().__init__()
        if hidden_size % n_heads:
            raise UserError(f"hidden_size {hidden_size} is not a multiple of n_heads {n_heads}")
        self.n_heads = n_heads
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.attn_dropout = KeyedDropout(attn_dropout_prob)
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.out_dropout = KeyedDropout(hidden_dropout_prob)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """Reshape [batch, length, d] to [batch, heads, length, d / heads]."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def forward(
        self, input_tensor: torch.Tensor, attention_mask: torch.Tensor, asking: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the outputs at all positions, float [batch, length, d], or at selected positions, [batch, n, d].

        Args:
            input_tensor: float [batch, length, d].
            attention_mask: added to the attention scores, which are [batch, heads, queries, length].
            asking: float [batch, n, d], the inputs at the selected positions, which are then the only queries; the mask
                must have one row for each. ``None`` selects all positions.
        """
        asking = input_tensor if asking is None else asking
        q, k, v = map(self._heads, (self.query(asking), self.key(input_tensor), self.value(input_tensor)))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + attention_mask
        context = self.attn_dropout(scores.softmax(dim=-1)) @ v
        return self.LayerNorm(self.out_dropout(self.dense(context.transpose(1, 2).flatten(-2))) + asking)


class FeedForward(nn.Module):
    """Two linear layers applied at each position, with a residual and a layer normalisation."""

    def __init__(
        self,
        hidden_size: int,
        inner_size: int,
        hidden_dropout_prob: float,
        hidden_act: Activation,
        layer_norm_eps: float,
    ) -> None:
        super().__init__()
        self.dense_1 = nn.Linear(hidden_size, inner_size)
        self.intermediate_act_fn = cast("nn.Module", activation_layer(hidden_act))
        self.dense_2 = nn.Linear(inner_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.dropout = KeyedDropout(hidden_dropout_prob)

    def forward(self, input_tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the input's shape, [..., hidden_size]."""
        inner = self.intermediate_act_fn(self.dense_1(input_tensor))
        return self.LayerNorm(self.dropout(self.dense_2(inner)) + input_tensor)


class TransformerLayer(nn.Module):
    """Multi-head self-attention followed by a feed-forward network."""

    def __init__(
        self, n_heads: int, hidden_size: int, intermediate_size: int, hidden_dropout_prob: float,
        attn_dropout_prob: float, hidden_act: Activation, layer_norm_eps: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.multi_head_attention = MultiHeadAttention(
            n_heads, hidden_size, hidden_dropout_prob, attn_dropout_prob, layer_norm_eps
        )
        self.feed_forward = FeedForward(hidden_size, intermediate_size, hidden_dropout_prob, hidden_act, layer_norm_eps)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor, asking: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the layer's output, with arguments and shapes as in :meth:`MultiHeadAttention.forward`."""
        return self.feed_forward(self.multi_head_attention(hidden_states, attention_mask, asking))


class TransformerEncoder(nn.Module):
    """A stack of :class:`TransformerLayer`; all layers start with equal weights unless the model reinitialises them."""

    def __init__(
        self,
        n_layers: int = 2,
        n_heads: int = 2,
        hidden_size: int = 64,
        inner_size: int = 256,
        hidden_dropout_prob: float = 0.5,
        attn_dropout_prob: float = 0.5,
        hidden_act: Activation = "gelu",
        layer_norm_eps: float = 1e-12,
    ) -> None:
        super().__init__()
        sizes = (n_heads, hidden_size, inner_size, hidden_dropout_prob, attn_dropout_prob, hidden_act, layer_norm_eps)
        layer = TransformerLayer(*sizes)
        self.layer = nn.ModuleList(copy.deepcopy(layer) for _ in range(n_layers))

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor, output_all_encoded_layers: bool = True
    ) -> list[torch.Tensor]:
        """Return a list of all layers' outputs, float [batch, length, d].

        Args:
            hidden_states: float [batch, length, d], the input of the first layer.
            attention_mask: added to the attention scores, which are [batch, heads, length, length].
            output_all_encoded_layers: False returns a list with the last layer's output only.
        """
        outputs = []
        for layer in self.layer:
            hidden_states = layer(hidden_states, attention_mask)
            outputs.append(hidden_states)
        return outputs if output_all_encoded_layers else outputs[-1:]

    def last(self, hidden_states: torch.Tensor, attention_mask: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """Return the last layer's output at one position of each sequence, float [batch, d].

        The result equals ``forward(...)[-1]`` at these positions. The last layer is not computed for other positions.

        Args:
            hidden_states, attention_mask: as in :meth:`forward`.
            position: int64 [batch], the position in each sequence.
        """
        for layer in self.layer[:-1]:
            hidden_states = layer(hidden_states, attention_mask)
        row = torch.arange(len(position), device=position.device)
        asking = hidden_states[row, position].unsqueeze(1)
        mask = attention_mask[row, :, position].unsqueeze(2)
        return self.layer[-1](hidden_states, mask, asking).squeeze(1)


class ItemToInterestAggregation(nn.Module):
    """Pools a sequence into ``k_interests`` weighted means; each has weights by a softmax over the positions.

    ``seq_len`` is not used; it is an argument in RecBole.
    """

    def __init__(self, seq_len: int, hidden_size: int, k_interests: int = 5) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.randn(hidden_size, k_interests))

    def forward(self, input_tensor: torch.Tensor) -> torch.Tensor:
        """Return the ``k_interests`` weighted means [batch, k_interests, d] of a sequence [batch, length, d]."""
        return (input_tensor @ self.theta).softmax(dim=-2).transpose(-1, -2) @ input_tensor


class LightMultiHeadAttention(MultiHeadAttention):
    """Attention to a few pooled vectors (interests) instead of all positions, plus one between position embeddings.

    X. Fan et al., "Lighter and Better: Low-Rank Decomposed Self-Attention Networks for Next-Item Recommendation", SIGIR
    2021 (equation numbers not checked). As in RecBole, both softmaxes run over the query positions; in the paper they
    run over the keys.
    """

    def __init__(
        self,
        n_heads: int,
        k_interests: int,
        hidden_size: int,
        seq_len: int,
        hidden_dropout_prob: float,
        attn_dropout_prob: float,
        layer_norm_eps: float,
    ) -> None:
        super().__init__(n_heads, hidden_size, hidden_dropout_prob, attn_dropout_prob, layer_norm_eps)
        self.attpooling_key = ItemToInterestAggregation(seq_len, hidden_size, k_interests)
        self.attpooling_value = ItemToInterestAggregation(seq_len, hidden_size, k_interests)
        self.pos_q_linear = nn.Linear(hidden_size, hidden_size)
        self.pos_k_linear = nn.Linear(hidden_size, hidden_size)
        self.pos_ln = nn.LayerNorm(hidden_size, eps=layer_norm_eps)

    def forward(self, input_tensor: torch.Tensor, pos_emb: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Return float [batch, length, d] for inputs of this shape and position embeddings, float [length, d]."""
        key, value = self.key(input_tensor), self.value(input_tensor)
        pooled = self._heads(self.attpooling_key(key)), self._heads(self.attpooling_value(value))
        q, scale = self._heads(self.query(input_tensor)), math.sqrt(input_tensor.shape[-1] // self.n_heads)
        of_items = self.attn_dropout((q @ pooled[0].transpose(-1, -2) / scale).softmax(dim=-2)) @ pooled[1]
        place = self.pos_ln(pos_emb).unsqueeze(0)
        of_place = self._heads(self.pos_q_linear(place)) @ self._heads(self.pos_k_linear(place)).transpose(-1, -2)
        of_place = (of_place / (math.sqrt(2) * scale**2)).softmax(dim=-2) @ self._heads(value)
        context = (of_items + of_place).transpose(1, 2).flatten(-2)
        return self.LayerNorm(self.out_dropout(self.dense(context)) + input_tensor)


class LightTransformerEncoder(nn.Module):
    """A stack of :class:`LightMultiHeadAttention` and :class:`FeedForward`; all layers start with equal weights."""

    def __init__(
        self, n_layers: int = 2, n_heads: int = 2, k_interests: int = 5, hidden_size: int = 64, seq_len: int = 50,
        inner_size: int = 256, hidden_dropout_prob: float = 0.5, attn_dropout_prob: float = 0.5,
        hidden_act: Activation = "gelu", layer_norm_eps: float = 1e-12,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes = (n_heads, k_interests, hidden_size, seq_len, hidden_dropout_prob, attn_dropout_prob, layer_norm_eps)
        layer = nn.Module()
        layer.multi_head_attention = LightMultiHeadAttention(*sizes)
        layer.feed_forward = FeedForward(hidden_size, inner_size, hidden_dropout_prob, hidden_act, layer_norm_eps)
        self.layer = nn.ModuleList(copy.deepcopy(layer) for _ in range(n_layers))

    def forward(
        self, hidden_states: torch.Tensor, pos_emb: torch.Tensor, output_all_encoded_layers: bool = True
    ) -> list[torch.Tensor]:
        """Return a list of all layers' outputs, float [batch, length, d].

        Args:
            hidden_states: float [batch, length, d], the input of the first layer.
            pos_emb: float [length, d], the position embeddings.
            output_all_encoded_layers: False returns a list with the last layer's output only.
        """
        outputs = []
        for layer in self.layer:
            attend, feed = layer.get_submodule("multi_head_attention"), layer.get_submodule("feed_forward")
            hidden_states = feed(attend(hidden_states, pos_emb))
            outputs.append(hidden_states)
        return outputs if output_all_encoded_layers else outputs[-1:]
