"""Methods and attributes of a data set that RecBole's model files use."""

import numpy as np
import pytest
import torch

from recbole.data import create_dataset
from recbole.utils import FeatureType, ModelType

ITEMS = """item_id:token	genre:token_seq	kind:token	price:float	size:float_seq
b	x y	old	2.5	1 2 3
a	y	new		4
never	z	new	9	5
c		old	1	6 7
"""


@pytest.fixture
def dataset(tmp_path, config, write_inter):
    rows = [("u", i, t) for t, i in enumerate("abcdab")] + [("v", i, t) for t, i in enumerate("bcaaad")]
    path = write_inter(tmp_path, rows)
    (path.parent / "small.item").write_text(ITEMS, encoding="utf-8")
    load = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "genre", "kind", "price", "size"]}
    settings = {"load_col": load, "filter_inter_by_user_or_item": False}
    return create_dataset(config(tmp_path, **settings), ModelType.GENERAL)


def ids(dataset, tokens):
    return dataset.token2id("item_id", list(tokens))


def test_item_features_are_indexed_by_item_id(dataset):
    items = dataset.get_item_feature()
    assert items["item_id"].tolist() == list(range(dataset.n_items)) and dataset.item_feat.columns == items.columns
    a, b, c, d = ids(dataset, "abcd")
    mean = pytest.approx((2.5 + 9 + 1) / 3)
    assert items["price"][[a, b, c, d, 0]].tolist() == [mean, 2.5, 1, mean, mean], (
        "a missing value is replaced by the mean"
    )
    assert items["kind"][a] == items["kind"][dataset.token2id("item_id", "never")] != items["kind"][b]
    assert items["kind"][b] == items["kind"][c] > 0 and items["kind"][d] == items["kind"][0] == 0
    assert items["size"][[a, b, c, d]].tolist() == [[4, 0, 0], [1, 2, 3], [6, 7, 0], [0, 0, 0]]
    x, y = items["genre"][b].tolist()
    assert items["genre"][a].tolist() == [y, 0] and x != y and not items["genre"][c].any()
    assert dataset.num("genre") == 4 and dataset.num("kind") == 3
    with pytest.raises(ValueError, match="numbers"):
        dataset.num("price")


def test_columns_by_type(dataset):
    kinds = dataset.field2type
    assert kinds["item_id"] is kinds["user_id"] is kinds["kind"] is FeatureType.TOKEN
    assert kinds["timestamp"] is kinds["price"] is FeatureType.FLOAT
    assert kinds["genre"] is FeatureType.TOKEN_SEQ and kinds["size"] is FeatureType.FLOAT_SEQ
    assert dataset.field2seqlen == {}


def test_without_feature_files_there_are_only_ids(dataset):
    assert dataset.get_user_feature().columns == ["user_id"]
    assert dataset.user_feat["user_id"].tolist() == list(range(dataset.n_users))


@pytest.mark.parametrize("longest", [None, 2, 9])
def test_histories(dataset, longest):
    log, rows = dataset.log, dataset.train_rows
    for found, owners, others, n in (
        (dataset.history_item_matrix("timestamp", longest), log.user, log.item, dataset.n_users),
        (dataset.history_user_matrix("timestamp", longest), log.item, log.user, dataset.n_items),
    ):
        matrix, values, lengths = found
        assert matrix.shape == values.shape and len(matrix) == len(lengths) == n
        assert longest is None or matrix.shape[1] == longest
        for owner in range(n):
            mine = rows[owners[rows] == owner][:longest]
            assert int(lengths[owner]) == len(mine)
            assert matrix[owner].tolist() == others[mine].tolist() + [0] * (matrix.shape[1] - len(mine))
            assert values[owner, : len(mine)].tolist() == log.columns["timestamp"][mine].tolist()


def test_training_rows_as_one_batch(dataset):
    assert torch.equal(dataset.inter_feat["item_id"], torch.from_numpy(dataset.log.item[dataset.train_rows]))
    assert np.array_equal(dataset.inter_feat["timestamp"].numpy(), dataset.log.columns["timestamp"][dataset.train_rows])
