"""Building blocks under RecBole's names, so that its checkpoints load and its model files run."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from recbole.model.activation import Activation, Dice, activation_layer
from recbole.model.feature_layers import ContextSeqEmbLayer, FeatureSeqEmbLayer
from recbole.model.keyed_dropout import KeyedDropout
from recbole.model.transformer import (
    FeedForward,
    ItemToInterestAggregation,
    LightMultiHeadAttention,
    LightTransformerEncoder,
    MultiHeadAttention,
    TransformerEncoder,
    TransformerLayer,
)
from recbole.utils import UserError

__all__ = [
    "BiGNNLayer", "CNNLayers", "ContextSeqEmbLayer", "Dice", "FeatureSeqEmbLayer", "FeedForward",
    "ItemToInterestAggregation", "LightMultiHeadAttention", "LightTransformerEncoder", "MLPLayers",
    "MultiHeadAttention", "SequenceAttLayer", "SparseDropout", "TransformerEncoder", "TransformerLayer",
    "VanillaAttention", "activation_layer", "normalised",
]  # fmt: skip


def _initialise(module: nn.Module, method: str) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d):
        if method == "norm":
            nn.init.normal_(module.weight, 0, 0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def normalised(linear: nn.Linear, norm: nn.BatchNorm1d, x: torch.Tensor) -> torch.Tensor:
    """Return ``norm(linear(x))`` of a ``BatchNorm1d`` after a ``Linear`` with a bias.

    With the statistics of training that is another linear layer, which spares passes over ``x`` [..., in] and, in
    second derivatives, the many that PyTorch makes of a normalisation.
    """
    if norm.training:
        return norm(linear(x))
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None, "a normalisation that keeps no statistics"
    gain = norm.weight * (variance + norm.eps).rsqrt()
    return F.linear(x, gain.unsqueeze(1) * linear.weight, gain * (linear.bias - mean) + norm.bias)


class MLPLayers(nn.Module):
    """Linear layers, each after a dropout and before an activation.

    Args:
        layers: sizes, the input's first.
        dropout: probability of each layer's input to be zeroed.
        activation: see :func:`activation_layer`.
        bn: normalise over the batch before the activation.
        init_method: ``"norm"`` draws weights from N(0, 0.01^2) and zeroes biases; ``None`` leaves PyTorch's.
        last_activation: False leaves the last layer without its activation.
    """

    def __init__(
        self,
        layers: Sequence[int],
        dropout: float = 0.0,
        activation: Activation = "relu",
        bn: bool = False,
        init_method: str | None = None,
        last_activation: bool = True,
    ) -> None:
        super().__init__()
        modules = []
        for number, (wide, narrow) in enumerate(itertools.pairwise(layers), start=2):
            modules += [KeyedDropout(dropout), nn.Linear(wide, narrow)]
            modules += [nn.BatchNorm1d(narrow)] if bn else []
            function = activation_layer(activation, narrow)
            if function is not None and (last_activation or number < len(layers)):
                modules.append(function)
        self.mlp_layers = nn.Sequential(*modules)
        if init_method is not None:
            self.apply(lambda module: _initialise(module, init_method))

    def forward(self, input_feature: torch.Tensor) -> torch.Tensor:
        """Map [..., layers[0]] to [..., layers[-1]]."""
        return self.mlp_layers(input_feature)


class CNNLayers(nn.Module):
    """Two-dimensional convolutions without padding, each before an activation.

    Args:
        channels: the input's, then each layer's.
        kernels, strides: one a layer.
        activation: see :func:`activation_layer`.
        init_method: as in :class:`MLPLayers`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        kernels: Sequence[int | tuple[int, int]],
        strides: Sequence[int | tuple[int, int]],
        activation: Activation = "relu",
        init_method: str | None = None,
    ) -> None:
        super().__init__()
        if not len(channels) - 1 == len(kernels) == len(strides):
            raise UserError(f"cnn: {len(channels)} channels need {len(channels) - 1} kernels and strides")
        modules = []
        for (wide, narrow), kernel, stride in zip(itertools.pairwise(channels), kernels, strides, strict=True):
            function = activation_layer(activation)
            modules += [nn.Conv2d(wide, narrow, kernel, stride=stride)] + ([function] if function else [])
        self.cnn_layers = nn.Sequential(*modules)
        if init_method is not None:
            self.apply(lambda module: _initialise(module, init_method))

    def forward(self, input_feature: torch.Tensor) -> torch.Tensor:
        """Map [batch, channels[0], height, width] to [batch, channels[-1], ...]."""
        return self.cnn_layers(input_feature)


class BiGNNLayer(nn.Module):
    """A step of NGCF: ``(L + I) E W + (L E * E) V``, with biases.

    X. Wang et al., "Neural Graph Collaborative Filtering", SIGIR 2019 (equation numbers not checked).
    """

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, out_dim)
        self.interActTransform = nn.Linear(in_dim, out_dim)

    def forward(
        self, lap_matrix: torch.Tensor, eye_matrix: torch.Tensor | None, features: torch.Tensor
    ) -> torch.Tensor:
        """Return [nodes, out_dim] for ``L``, sparse [nodes, nodes], and ``E``, [nodes, in_dim]; ``I`` is not read."""
        near = torch.sparse.mm(lap_matrix, features)
        return self.linear(features + near) + self.interActTransform(near * features)


class SequenceAttLayer(nn.Module):
    """Weighs a sequence by a perceptron that sees each position beside the candidate: that of DIN.

    G. Zhou et al., KDD 2018 (see :class:`Dice`); ``k`` weighs ``MLP(q, k, q - k, q * k) / sqrt(d)`` for ``q``.

    Args:
        mask_mat: the positions, int64 [1, length].
        att_hidden_size: sizes of the perceptron, the first one 4 d.
        activation: see :func:`activation_layer`.
        softmax_stag: normalise the weights; otherwise padding has weight 0.
        return_seq_weight: return the weights [batch, 1, length] rather than the weighted sum [batch, 1, d].
    """

    def __init__(
        self,
        mask_mat: torch.Tensor,
        att_hidden_size: Sequence[int] = (80, 40),
        activation: Activation = "sigmoid",
        softmax_stag: bool = False,
        return_seq_weight: bool = True,
    ) -> None:
        super().__init__()
        self.mask_mat, self.softmax_stag, self.return_seq_weight = mask_mat, softmax_stag, return_seq_weight
        self.att_mlp_layers = MLPLayers(att_hidden_size, activation=activation)
        self.dense = nn.Linear(att_hidden_size[-1], 1)

    def forward(self, queries: torch.Tensor, keys: torch.Tensor, keys_length: torch.Tensor) -> torch.Tensor:
        """Return weights or sums for candidates [batch, d], sequences [batch, length, d] and lengths [batch]."""
        queries = queries.unsqueeze(1).expand_as(keys)
        seen = torch.cat([queries, keys, queries - keys, queries * keys], dim=-1)
        weights = self.dense(self.att_mlp_layers(seen)).squeeze(-1)
        padding = self.mask_mat >= keys_length.unsqueeze(1)
        weights = weights.masked_fill(padding, -torch.inf if self.softmax_stag else 0.0) / math.sqrt(keys.shape[-1])
        weights = (weights.softmax(dim=-1) if self.softmax_stag else weights).unsqueeze(1)
        return weights if self.return_seq_weight else weights @ keys


class VanillaAttention(nn.Module):
    """Weighs vectors by a two-layer perceptron's scores.

    Args:
        hidden_dim: the vectors' size.
        attn_dim: the perceptron's inner size.
    """

    def __init__(self, hidden_dim: int, attn_dim: int) -> None:
        super().__init__()
        self.projection = nn.Sequential(nn.Linear(hidden_dim, attn_dim), nn.ReLU(), nn.Linear(attn_dim, 1))

    def forward(self, input_tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``(means [..., hidden_dim], weights [..., n])`` of ``[..., n, hidden_dim]``; weights add up to 1."""
        weights = self.projection(input_tensor).squeeze(-1).softmax(dim=-1)
        return (weights.unsqueeze(-1) * input_tensor).sum(dim=-2), weights


class SparseDropout(nn.Module):
    """Dropout of the stored values of a sparse COO matrix."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the matrix with values zeroed and the others scaled up, in training only."""
        x = x.coalesce()
        values = F.dropout(x.values(), self.p, self.training)
        return torch.sparse_coo_tensor(x.indices(), values, x.shape, check_invariants=False)
