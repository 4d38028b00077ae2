"""Sizes in the settings are compared with the number of items before training."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole.config import Config
from recbole.data.sizes import check_sizes
from recbole.utils import UserError

SIZE = st.integers(1, 60) | st.integers(990, 1010) | st.sampled_from([2**31 - 1, 10**7])


def config(**settings):
    return Config("BPR", "shop", config_dict=settings | {"use_gpu": False})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"topk": [10, 10**7]}, "topk (config_dict) should be at most 1000, not 10000000: there are 40 items"),
        ({"valid_metric": "Recall@1001"}, "valid_metric (config_dict) should be at most 1000, not 1001"),
        ({"eval_args": {"mode": "pop1000000"}}, "eval_args mode of valid (config_dict) should be at most 1000"),
        ({"eval_args": {"mode": {"valid": "full", "test": "uni1001"}}}, "eval_args mode of test (config_dict)"),
        ({"train_neg_sample_args": {"sample_num": 2**31 - 1}}, "train_neg_sample_args sample_num (config_dict)"),
    ],
)
def test_a_size_above_the_number_of_items_is_rejected_by_name(settings, told):
    with pytest.raises(UserError) as error:
        check_sizes(config(**settings), 40)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_usual_lengths_of_lists_are_allowed_for_data_with_few_items():
    made = config(metrics=["Recall"], train_neg_sample_args=None, topk=[10, 1000])
    check_sizes(made, 3)
    assert {"metrics", "train_neg_sample_args"} <= {key for key, _ in made.unread()}, "checking counts as no use"


@given(
    topk=st.lists(SIZE, min_size=1, max_size=3), valid=SIZE, kind=st.sampled_from(["uni", "pop"]), drawn=SIZE, n=SIZE
)
def test_settings_are_accepted_exactly_if_no_size_is_above_the_limit(topk, valid, kind, drawn, n):
    sizes = {"topk": topk, "valid_metric": f"NDCG@{valid}", "eval_args": {"mode": f"{kind}{drawn}"}}
    made = config(**sizes, train_neg_sample_args={"sample_num": n})
    good = max(*topk, valid, drawn, n) <= 1000
    try:
        check_sizes(made, 40)
    except UserError:
        assert not good
    else:
        assert good
