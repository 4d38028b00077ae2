"""Layers under RecBole's names, so that its checkpoints load and its model files run."""

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
    """Zero the bias of a linear or convolutional layer, and if ``method`` is norm draw its weights from N(0, 0.01^2).

    Other layers are left alone.
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        if method == "norm":
            nn.init.normal_(module.weight, 0, 0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def normalised(linear: nn.Linear, norm: nn.BatchNorm1d, x: torch.Tensor) -> torch.Tensor:
    """Return ``norm(linear(x))``, the batch normalisation of a linear layer's output, for ``x`` [..., in].

    In evaluation mode both are merged into one linear layer. This is faster, above all for second derivatives, for
    which PyTorch's batch normalisation is slow. The linear layer must have a bias.
    """
    if norm.training:
        return norm(linear(x))
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None, "the normalisation has no running statistics"
    gain = norm.weight * (variance + norm.eps).rsqrt()
    return F.linear(x, gain.unsqueeze(1) * linear.weight, gain * (linear.bias - mean) + norm.bias)


class MLPLayers(nn.Module):
    """Linear layers, each after a dropout and before an activation.

    Args:
        layers: sizes of the input and of each layer's output.
        dropout: probability with which each unit of a layer's input is zeroed.
        activation: see :func:`activation_layer`.
        bn: whether to apply batch normalisation before the activation.
        init_method: ``"norm"`` draws weights from N(0, 0.01^2) and zeroes biases; ``None`` keeps PyTorch's
            initialisation.
        last_activation: False leaves out the activation after the last layer.
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
    """Two-dimensional convolutions without padding, each followed by an activation.

    Args:
        channels: numbers of channels of the input and of each layer's output.
        kernels, strides: kernel size and stride of each layer.
        activation: see :func:`activation_layer`.
        init_method: ``"norm"`` draws weights from N(0, 0.01^2) and zeroes biases; ``None`` keeps PyTorch's.

    Raises:
        UserError: the numbers of kernels, strides and layers differ.
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
            raise UserError(
                f"CNNLayers: {len(channels)} channels need {len(channels) - 1} kernels and as many strides, not "
                f"{len(kernels)} and {len(strides)}"
            )
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
    """One propagation layer of NGCF: ``(L + I) E W + (L E * E) V`` plus biases, where ``*`` is element by element.

    X. Wang et al., "Neural Graph Collaborative Filtering", SIGIR 2019 (equation numbers not checked).
    """

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, out_dim)
        self.interActTransform = nn.Linear(in_dim, out_dim)

    def forward(
        self, lap_matrix: torch.Tensor, eye_matrix: torch.Tensor | None, features: torch.Tensor
    ) -> torch.Tensor:
        """Return the propagated embeddings, float [nodes, out_dim].

        Args:
            lap_matrix: ``L``, the graph's normalised adjacency matrix, sparse [nodes, nodes].
            eye_matrix: not used; an argument in RecBole.
            features: ``E``, float [nodes, in_dim].
        """
        near = torch.sparse.mm(lap_matrix, features)
        return self.linear(features + near) + self.interActTransform(near * features)


class SequenceAttLayer(nn.Module):
    """The attention of DIN: a perceptron computes the weight of each position of a sequence for a candidate item.

    G. Zhou et al., KDD 2018 (see :class:`Dice`). A position's vector ``k`` has weight ``MLP(q, k, q - k, q * k) /
    sqrt(d)`` for the candidate's vector ``q``.

    Args:
        mask_mat: the position numbers 0, 1, ..., int64 [1, length].
        att_hidden_size: layer sizes of the perceptron; the first one is that of its input, 4 d.
        activation: see :func:`activation_layer`.
        softmax_stag: whether to normalise the weights by a softmax, in which padding gets weight 0; if not, padding has
            weight 0 and the weights are used as they are.
        return_seq_weight: whether to return the weights [batch, 1, length] instead of the weighted sum [batch, 1, d].
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
        """Return the weights, or the weighted sums of the sequences, as ``return_seq_weight`` says.

        Args:
            queries: candidate items, float [batch, d].
            keys: sequences, float [batch, length, d].
            keys_length: int64 [batch], lengths of the sequences; later positions are padding.
        """
        queries = queries.unsqueeze(1).expand_as(keys)
        seen = torch.cat([queries, keys, queries - keys, queries * keys], dim=-1)
        weights = self.dense(self.att_mlp_layers(seen)).squeeze(-1)
        padding = self.mask_mat >= keys_length.unsqueeze(1)
        weights = weights.masked_fill(padding, -torch.inf if self.softmax_stag else 0.0) / math.sqrt(keys.shape[-1])
        weights = (weights.softmax(dim=-1) if self.softmax_stag else weights).unsqueeze(1)
        return weights if self.return_seq_weight else weights @ keys


class VanillaAttention(nn.Module):
    """Attention whose weights are a softmax over the scores of a perceptron with one hidden layer.

    Args:
        hidden_dim: size of the input vectors.
        attn_dim: size of the perceptron's hidden layer.
    """

    def __init__(self, hidden_dim: int, attn_dim: int) -> None:
        super().__init__()
        self.projection = nn.Sequential(nn.Linear(hidden_dim, attn_dim), nn.ReLU(), nn.Linear(attn_dim, 1))

    def forward(self, input_tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``(weighted means [..., hidden_dim], weights [..., n])`` for input [..., n, hidden_dim]."""
        weights = self.projection(input_tensor).squeeze(-1).softmax(dim=-1)
        return (weights.unsqueeze(-1) * input_tensor).sum(dim=-2), weights


class SparseDropout(nn.Module):
    """Dropout of the stored values of a sparse COO matrix.

    Args:
        p: probability with which a value is zeroed; the others are scaled by ``1 / (1 - p)``.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` with some values zeroed and the others scaled; in evaluation mode with unchanged values."""
        x = x.coalesce()
        values = F.dropout(x.values(), self.p, self.training)
        return torch.sparse_coo_tensor(x.indices(), values, x.shape, check_invariants=False)
