"""Building blocks under RecBole's names, so that its checkpoints load and its model files run.

A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, as J. Devlin et al., "BERT", NAACL 2019, arrange it: each
sub-layer's output is added to its input and normalised after (equation numbers not checked).
"""

import copy
import itertools
import math

import torch
from torch import nn
from torch.nn import functional as F

from recbole.utils import UserError, suggest

_ACTIVATIONS = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "swish": nn.SiLU,
}


def activation_layer(activation_name="relu", emb_dim=None):
    """Return a new activation module; ``None`` for ``None`` or ``"none"``.

    Args:
        activation_name: one of RecBole's names in any case, or a module class.
        emb_dim: taken for RecBole's sake; these activations have no parameters.

    Raises:
        UserError: for an unknown name.
    """
    if activation_name is None or isinstance(activation_name, type):
        return activation_name and activation_name()
    name = activation_name.lower()
    if name == "none":
        return None
    if name not in _ACTIVATIONS:
        raise UserError(f"there is no activation '{activation_name}'{suggest(name, _ACTIVATIONS)}")
    return _ACTIVATIONS[name]()


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

    def __init__(self, layers, dropout=0.0, activation="relu", bn=False, init_method=None, last_activation=True):
        super().__init__()
        modules = []
        for number, (wide, narrow) in enumerate(itertools.pairwise(layers), start=2):
            modules += [nn.Dropout(dropout), nn.Linear(wide, narrow)]
            modules += [nn.BatchNorm1d(narrow)] if bn else []
            function = activation_layer(activation, narrow)
            if function is not None and (last_activation or number < len(layers)):
                modules.append(function)
        self.mlp_layers = nn.Sequential(*modules)
        if init_method is not None:
            self.apply(lambda module: self._initialise(module, init_method))

    @staticmethod
    def _initialise(module, method):
        if isinstance(module, nn.Linear):
            if method == "norm":
                nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)

    def forward(self, input_feature):
        """Map [..., layers[0]] to [..., layers[-1]]."""
        return self.mlp_layers(input_feature)


class VanillaAttention(nn.Module):
    """Weighs vectors by a two-layer perceptron's scores.

    Args:
        hidden_dim: the vectors' size.
        attn_dim: the perceptron's inner size.
    """

    def __init__(self, hidden_dim, attn_dim):
        super().__init__()
        self.projection = nn.Sequential(nn.Linear(hidden_dim, attn_dim), nn.ReLU(), nn.Linear(attn_dim, 1))

    def forward(self, input_tensor):
        """Return ``(means [..., hidden_dim], weights [..., n])`` of ``[..., n, hidden_dim]``; weights add up to 1."""
        weights = self.projection(input_tensor).squeeze(-1).softmax(dim=-1)
        return (weights.unsqueeze(-1) * input_tensor).sum(dim=-2), weights


class MultiHeadAttention(nn.Module):
    """Self-attention with several heads, dropout on the attention, and a normalised residual."""

    def __init__(self, n_heads, hidden_size, hidden_dropout_prob, attn_dropout_prob, layer_norm_eps):
        super().__init__()
        if hidden_size % n_heads:
            raise UserError(f"hidden_size {hidden_size} is not a multiple of n_heads {n_heads}")
        self.n_heads = n_heads
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.attn_dropout = nn.Dropout(attn_dropout_prob)
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.out_dropout = nn.Dropout(hidden_dropout_prob)

    def _heads(self, x):
        """Cut [batch, length, d] into [batch, heads, length, d / heads]."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def forward(self, input_tensor, attention_mask, asking=None):
        """Return [batch, length, d], or one vector for each of the ``asking`` positions.

        Args:
            input_tensor: [batch, length, d].
            attention_mask: added to the scores [batch, heads, length, length].
            asking: [batch, n, d], the inputs at the only positions whose outputs are wanted, with the
                ``attention_mask`` of those; all positions if ``None``.
        """
        asking = input_tensor if asking is None else asking
        q, k, v = map(self._heads, (self.query(asking), self.key(input_tensor), self.value(input_tensor)))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + attention_mask
        context = self.attn_dropout(scores.softmax(dim=-1)) @ v
        return self.LayerNorm(self.out_dropout(self.dense(context.transpose(1, 2).flatten(-2))) + asking)


class FeedForward(nn.Module):
    """Two linear layers at each position, with a normalised residual."""

    def __init__(self, hidden_size, inner_size, hidden_dropout_prob, hidden_act, layer_norm_eps):
        super().__init__()
        self.dense_1 = nn.Linear(hidden_size, inner_size)
        self.intermediate_act_fn = activation_layer(hidden_act)
        self.dense_2 = nn.Linear(inner_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.dropout = nn.Dropout(hidden_dropout_prob)

    def forward(self, input_tensor):
        """Return a tensor of the input's shape, [..., hidden_size]."""
        inner = self.intermediate_act_fn(self.dense_1(input_tensor))
        return self.LayerNorm(self.dropout(self.dense_2(inner)) + input_tensor)


class TransformerLayer(nn.Module):
    """Attention, then a feed-forward network."""

    def __init__(
        self, n_heads, hidden_size, intermediate_size, hidden_dropout_prob, attn_dropout_prob, hidden_act,
        layer_norm_eps,
    ):  # fmt: skip
        super().__init__()
        self.multi_head_attention = MultiHeadAttention(
            n_heads, hidden_size, hidden_dropout_prob, attn_dropout_prob, layer_norm_eps
        )
        self.feed_forward = FeedForward(hidden_size, intermediate_size, hidden_dropout_prob, hidden_act, layer_norm_eps)

    def forward(self, hidden_states, attention_mask, asking=None):
        """Return the layer's output; for the arguments see :meth:`MultiHeadAttention.forward`."""
        return self.feed_forward(self.multi_head_attention(hidden_states, attention_mask, asking))


class TransformerEncoder(nn.Module):
    """Several :class:`TransformerLayer`; at first with equal weights, unless the model initialises them anew."""

    def __init__(
        self,
        n_layers=2,
        n_heads=2,
        hidden_size=64,
        inner_size=256,
        hidden_dropout_prob=0.5,
        attn_dropout_prob=0.5,
        hidden_act="gelu",
        layer_norm_eps=1e-12,
    ):
        super().__init__()
        sizes = (n_heads, hidden_size, inner_size, hidden_dropout_prob, attn_dropout_prob, hidden_act, layer_norm_eps)
        layer = TransformerLayer(*sizes)
        self.layer = nn.ModuleList(copy.deepcopy(layer) for _ in range(n_layers))

    def forward(self, hidden_states, attention_mask, output_all_encoded_layers=True):
        """Return a list of the layers' outputs [batch, length, d], or with the last one's alone."""
        outputs = []
        for layer in self.layer:
            hidden_states = layer(hidden_states, attention_mask)
            outputs.append(hidden_states)
        return outputs if output_all_encoded_layers else outputs[-1:]

    def last(self, hidden_states, attention_mask, position):
        """Return the last layer's output [batch, d] at one position (int64 [batch]) of each sequence.

        It equals ``forward(...)[-1]`` there; the last layer computes nothing for the other positions.
        """
        for layer in self.layer[:-1]:
            hidden_states = layer(hidden_states, attention_mask)
        row = torch.arange(len(position), device=position.device)
        asking = hidden_states[row, position].unsqueeze(1)
        mask = attention_mask[row, :, position].unsqueeze(2)
        return self.layer[-1](hidden_states, mask, asking).squeeze(1)


class SparseDropout(nn.Module):
    """Dropout of the stored values of a sparse COO matrix."""

    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        """Return the matrix with values zeroed and the others scaled up, in training only."""
        x = x.coalesce()
        values = F.dropout(x.values(), self.p, self.training)
        return torch.sparse_coo_tensor(x.indices(), values, x.shape, check_invariants=False)
