"""RecBole's layers: their definitions, and equality of fast and slow implementations."""

import pytest
import torch
from torch import nn

from recbole.model.layers import (
    MLPLayers,
    MultiHeadAttention,
    SparseDropout,
    TransformerEncoder,
    VanillaAttention,
    activation_layer,
    normalised,
)
from recbole.utils import UserError


def test_mlp_is_linear_layers_with_activations_between():
    x = torch.randn(3, 4)
    for last_activation in (True, False):
        mlp = MLPLayers([4, 5, 2], dropout=0.5, activation="tanh", init_method="norm", last_activation=last_activation)
        one, two = (module for module in mlp.modules() if isinstance(module, nn.Linear))
        assert not one.bias.any() and one.weight.std() < 0.03
        out = two(torch.tanh(one(x)))
        assert mlp.eval()(x).allclose(torch.tanh(out) if last_activation else out)
    assert any(isinstance(module, nn.BatchNorm1d) for module in MLPLayers([4, 2], bn=True).modules())


def test_activations():
    assert activation_layer(None) is None and activation_layer("None") is None
    assert isinstance(activation_layer("LeakyReLU"), nn.LeakyReLU) and isinstance(activation_layer(nn.ELU), nn.ELU)
    with pytest.raises(UserError, match=r"no activation 'rellu'.*relu"):
        activation_layer("rellu")


def test_vanilla_attention_uses_softmax_weights():
    attention, x = VanillaAttention(4, 6), torch.randn(2, 3, 5, 4)
    out, weights = attention(x)
    first, _, second = attention.projection
    scores = second(torch.relu(first(x)))[..., 0]
    assert weights.allclose(scores.exp() / scores.exp().sum(-1, keepdim=True))
    assert out.allclose(torch.einsum("abn,abnd->abd", weights, x), atol=1e-6)


def test_the_size_must_be_divisible_by_the_number_of_heads():
    with pytest.raises(UserError, match="hidden_size 5 is not a multiple of n_heads 2"):
        MultiHeadAttention(2, 5, 0.0, 0.0, 1e-12)


@pytest.mark.parametrize("n_layers", [1, 3])
def test_the_encoder_of_one_position_equals_the_full_encoder(n_layers):
    encoder = TransformerEncoder(n_layers, 2, 4, 6, hidden_act="relu").eval()
    hidden, position = torch.randn(3, 5, 4), torch.tensor([4, 0, 2])
    mask = torch.where(torch.ones(5, 5, dtype=torch.bool).tril(), 0.0, -10000.0).expand(3, 1, 5, 5)
    outputs = encoder(hidden, mask)
    assert len(outputs) == n_layers
    assert encoder(hidden, mask, output_all_encoded_layers=False)[0].equal(outputs[-1])
    assert encoder.last(hidden, mask, position).allclose(outputs[-1][torch.arange(3), position], atol=1e-6)


def test_sparse_dropout_acts_on_stored_values_in_training_only():
    matrix = torch.eye(200).to_sparse()
    dropout = SparseDropout(0.5)
    values = dropout(matrix).coalesce().values()
    assert set(values.tolist()) == {0.0, 2.0}
    assert dropout.eval()(matrix).to_dense().equal(torch.eye(200))


def test_a_linear_layer_with_batchnorm_is_affine_after_training():
    torch.manual_seed(0)
    linear, norm, x = nn.Linear(3, 5), nn.BatchNorm1d(5), torch.randn(40, 3)
    torch.nn.init.normal_(norm.weight)
    assert torch.equal(normalised(linear, norm, x), norm(linear(x)))
    assert norm.num_batches_tracked == 2
    norm.eval()
    torch.testing.assert_close(normalised(linear, norm, x), norm(linear(x)))
