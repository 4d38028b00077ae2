"""The field of a training record that lists random draws shared with models under other masks."""

import pytest
from torch import nn

from recbole.model.general_recommender.bpr import BPR
from recbole.model.general_recommender.pop import Pop
from recbole.model.general_recommender.wmf import WMF
from recbole.model.keyed_dropout import KeyedDropout
from recbole.model.layers import SparseDropout
from recbole.trainer.coupled import coupled


@pytest.fixture
def told(config, small_dataset):
    """A function: ``told(cls, *layers, **settings)`` returns this field for a model with further layers."""

    def of(cls, *layers, **settings):
        conf = config("unused", model=cls.__name__, **settings)
        model = cls(conf, small_dataset)
        model.more = nn.ModuleList(layers)
        return coupled(conf, model)

    return of


def test_negatives_only_where_some_are_drawn(told):
    assert told(BPR) == ["order", "negatives", "initial values"]
    assert told(WMF, dropout_prob=0.0, train_neg_sample_args=None) == ["order", "initial values"]


def test_dropout_only_where_all_of_it_is_keyed(told):
    assert "dropout" in told(BPR, KeyedDropout(0.5))
    assert "dropout" in told(WMF, dropout_prob=0.5)
    assert "dropout" not in told(BPR, KeyedDropout(0.0))
    assert "dropout" not in told(BPR)


@pytest.mark.parametrize(
    "foreign",
    [nn.Dropout(0.5), nn.Dropout1d(0.1), SparseDropout(0.2), nn.GRU(4, 4, num_layers=2, dropout=0.1),
     nn.MultiheadAttention(4, 1, dropout=0.1)],
)  # fmt: skip
def test_not_beside_a_foreign_one(told, foreign):
    assert "dropout" not in told(BPR, KeyedDropout(0.5), foreign)


def test_a_foreign_one_that_drops_nothing_is_none(told):
    assert "dropout" in told(BPR, KeyedDropout(0.5), nn.Dropout(0.0), nn.GRU(4, 4))


def test_what_is_not_trained_shares_nothing(told):
    assert told(Pop) == []
