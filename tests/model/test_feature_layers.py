"""RecBole's rarer layers, compared with implementations as loops."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recbole.data import Interaction
from recbole.model.layers import (
    BiGNNLayer,
    CNNLayers,
    ContextSeqEmbLayer,
    Dice,
    FeatureSeqEmbLayer,
    LightTransformerEncoder,
    MLPLayers,
    SequenceAttLayer,
    activation_layer,
)
from recbole.utils import FeatureType, UserError


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(4)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def same(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_dice():
    layer, x = activation_layer("Dice", 3), torch.randn(5, 3)
    assert isinstance(layer, Dice) and not layer.alpha.any()
    torch.nn.init.normal_(layer.alpha)
    p = 1 / (1 + torch.exp(-x))
    same(layer(x), p * x + (1 - p) * layer.alpha * x)
    assert [type(m) for m in MLPLayers([3, 2], activation="dice").mlp_layers][-1] is Dice


def test_cnn_slides_its_kernels():
    layers, x = CNNLayers([2, 3, 1], [2, 1], [2, 1], "tanh", init_method="norm"), torch.randn(2, 2, 4, 6)
    first, _, second, _ = layers.cnn_layers
    assert not first.bias.any() and first.weight.std() < 0.03
    torch.nn.init.normal_(first.weight)
    out = torch.empty(2, 3, 2, 3)
    for row in range(2):
        for column in range(3):
            patch = x[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            out[:, :, row, column] = torch.einsum("bcij,ocij->bo", patch, first.weight)
    expected = torch.tanh(torch.einsum("bcij,oc->boij", torch.tanh(out), second.weight[:, :, 0, 0]))
    same(layers(x), expected)
    assert len(CNNLayers([1, 1], [1], [1], "none").cnn_layers) == 1
    with pytest.raises(UserError, match="3 channels need 2 kernels"):
        CNNLayers([1, 2, 3], [2], [2])


def test_bi_interaction_node_by_node():
    layer, features = BiGNNLayer(3, 2), torch.randn(5, 3)
    matrix = torch.rand(5, 5) * (torch.rand(5, 5) < 0.5)
    got = layer(matrix.to_sparse_coo(), None, features)
    for node in range(5):
        near = sum(matrix[node, other] * features[other] for other in range(5))
        same(got[node], layer.linear(features[node] + near) + layer.interActTransform(near * features[node]))


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("weights", [False, True])
def test_attention_of_din_position_by_position(normalise, weights):
    layer = SequenceAttLayer(torch.arange(4).view(1, -1), [12, 5, 2], "sigmoid", normalise, weights)
    queries, keys, lengths = torch.randn(3, 3), torch.randn(3, 4, 3), torch.tensor([4, 1, 2])
    got = layer(queries, keys, lengths)
    for row, length in enumerate(lengths.tolist()):
        q, scores = queries[row], []
        for k in keys[row, :length]:
            scores.append(layer.dense(layer.att_mlp_layers(torch.cat([q, k, q - k, q * k]))) / math.sqrt(3))
        share = torch.cat(scores)
        share = torch.cat([share.softmax(0) if normalise else share, torch.zeros(4 - length)])
        same(got[row], share[None] if weights else sum(share[t] * keys[row, t] for t in range(4))[None])


def test_light_attention_by_definition():
    """One layer, head by head and entry by entry; as in RecBole, the softmax is over the query positions."""
    encoder = LightTransformerEncoder(2, 2, 3, 4, 5, 6, 0.0, 0.0, "relu", 1e-6)
    x, places = torch.randn(2, 5, 4), torch.randn(5, 4)
    outputs = encoder(x, places)
    assert len(outputs) == 2
    same(encoder(x, places, output_all_encoded_layers=False)[0], outputs[1])
    attention, hidden = encoder.layer[0].multi_head_attention, []
    for one in x:
        q, k, v = attention.query(one), attention.key(one), attention.value(one)
        pooled = []
        for vectors, pool in ((k, attention.attpooling_key), (v, attention.attpooling_value)):
            share = torch.exp(vectors @ pool.theta)
            share = share / share.sum(0)
            pooled.append(torch.stack([sum(share[t, i] * vectors[t] for t in range(5)) for i in range(3)]))
        normed = attention.pos_ln(places)
        pq, pk = attention.pos_q_linear(normed), attention.pos_k_linear(normed)
        context = torch.zeros(5, 4)
        for head in (slice(0, 2), slice(2, 4)):
            items = torch.exp(q[:, head] @ pooled[0][:, head].T / math.sqrt(2))
            place = torch.exp(pq[:, head] @ pk[:, head].T / math.sqrt(2) / math.sqrt(4))
            context[:, head] = items / items.sum(0) @ pooled[1][:, head] + place / place.sum(0) @ v[:, head]
        hidden.append(attention.LayerNorm(attention.dense(context) + one))
    same(outputs[0], encoder.layer[0].feed_forward(torch.stack(hidden)))


# --- columns -------------------------------------------------------------------------------------------------------

COLUMNS = {
    "item_id": (FeatureType.TOKEN, torch.arange(4)),
    "brand": (FeatureType.TOKEN, torch.tensor([0, 1, 2, 1])),
    "tags": (FeatureType.TOKEN_SEQ, torch.tensor([[0, 0], [1, 3], [2, 0], [0, 0]])),
    "price": (FeatureType.FLOAT, torch.tensor([0.0, 2.5, -1.0, 4.0])),
    "sizes": (FeatureType.FLOAT_SEQ, torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 0.0], [-1.0, -2.0]])),
}
USERS = {"user_id": (FeatureType.TOKEN, torch.arange(3)), "age": (FeatureType.FLOAT, torch.tensor([0.0, 30.0, 40.0]))}


def dataset(numerical=("price", "sizes")):
    return SimpleNamespace(
        config={"numerical_features": list(numerical)},
        get_item_feature=lambda: Interaction({name: values for name, (_, values) in COLUMNS.items()}),
        get_user_feature=lambda: Interaction({name: values for name, (_, values) in USERS.items()}),
        field2type={name: kind for name, (kind, _) in (COLUMNS | USERS).items()},
        num=lambda name: int((COLUMNS | USERS)[name][1].max()) + 1,
    )


def pooled(vectors, mode):
    if not vectors:
        return torch.zeros(6)
    vectors = torch.stack(vectors)
    return {"sum": vectors.sum(0), "mean": vectors.mean(0), "max": vectors.max(0).values}[mode]


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_selected_columns_of_items_are_embedded(mode):
    layer = FeatureSeqEmbLayer(dataset(), 6, ["brand", "tags", "price", "sizes"], mode, "cpu")
    assert layer.num_feature_field == {"item": 4} and not dict(layer.state_dict()).keys() & {"values"}
    items = torch.tensor([[1, 2, 3], [3, 0, 1]])
    tokens, numbers = (part["item"] for part in layer(None, items))
    brand, tags, price, sizes = (*layer.tokens["item"], *layer.numbers["item"])
    for at in np.ndindex(2, 3):
        item = items[at]
        same(tokens[at][0], brand.table.weight[COLUMNS["brand"][1][item]])
        own = [tags.table.weight[tag] for tag in COLUMNS["tags"][1][item] if tag]
        same(tokens[at][1], pooled(own, mode))
        same(numbers[at][0], price.table.weight[0] * COLUMNS["price"][1][item])
        same(numbers[at][1], pooled([sizes.table.weight[0] * size for size in COLUMNS["sizes"][1][item] if size], mode))


def test_all_columns_of_users_and_items_are_embedded():
    layer = ContextSeqEmbLayer(dataset(numerical=()), 6, "mean", "cpu")
    tokens, numbers = layer(torch.tensor([2, 1]), torch.tensor([[1, 2, 3], [3, 0, 1]]))
    assert tokens["user"].shape == (2, 1, 6) and tokens["item"].shape == (2, 3, 3, 6)
    assert numbers == {"user": None, "item": None}, "numeric columns are used if numerical_features lists them"
    same(tokens["user"][0, 0], layer.tokens["user"][0].table.weight[2])


def test_columns_that_cannot_be_embedded_are_rejected():
    with pytest.raises(UserError, match="pooling_mode: 'avg' is not mean, sum or max"):
        FeatureSeqEmbLayer(dataset(), 6, ["brand"], "avg", "cpu")
    with pytest.raises(UserError, match="no column 'colour' of items is loaded"):
        FeatureSeqEmbLayer(dataset(), 6, ["colour"], "mean", "cpu")
