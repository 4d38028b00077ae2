"""Requests: requesting users, order, and forgotten rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole.data import create_dataset
from recbole.data.split import SPLITS
from recbole.generators.order import order_requests
from recbole.unlearning.request import find_requests, requests_of
from recbole.utils import ModelType, UserError

ROWS = [
    *(("u1", item, 10 + at) for at, item in enumerate("abcdefghijkl")),
    *(("u10", item, 50 + at) for at, item in enumerate("acegikab")),  # a twice
    *(("u9", item, 90 - at) for at, item in enumerate("bdfhjl")),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, config, write_inter):
    folder = tmp_path_factory.mktemp("requests")
    write_inter(folder, ROWS)
    return create_dataset(config(folder), ModelType.GENERAL)


def found(dataset, pairs, listed=None):
    entities, items = zip(*pairs, strict=True)
    return find_requests(dataset, entities, items, order_requests(set(entities)), "sha", listed)


def rows_of(dataset, pairs):
    """Return the rows of (user, item) pairs by looking at every row."""
    log = dataset.log
    users, items = dataset.id2token("user_id", log.user), dataset.id2token("item_id", log.item)
    return [row for row, pair in enumerate(zip(users, items, strict=True)) if pair in set(pairs)]


def test_rows_of_all_splits_and_of_repeated_pairs(dataset):
    pairs = [("u10", "a"), ("u1", "l"), ("u1", "a"), ("u1", "k")]
    requests = found(dataset, pairs)
    assert requests.entities == ["u1", "u10"] and len(requests) == 2
    first, second = requests[0], requests[1]
    assert (first.index, first.entity, first.unknown) == (0, "u1", "")
    assert sorted(first.rows) == rows_of(dataset, pairs[1:])
    assert sorted(second.rows) == rows_of(dataset, pairs[:1]) and len(second.rows) == 2
    assert set(dataset.log.split[first.rows]) == set(SPLITS.values())


def test_the_order_is_of_the_tokens_not_of_the_file_or_the_ids(dataset):
    wish = {user: (user, "b") for user in ("u9", "u1", "u10")}
    for order in (("u9", "u1", "u10"), ("u10", "u9", "u1")):
        assert found(dataset, [wish[user] for user in order]).entities == ["u1", "u10", "u9"]
    numbers = ["10", "9", "1"]
    assert order_requests(numbers) == ["1", "9", "10"]
    assert order_requests([*numbers, "01"]) == ["01", "1", "10", "9"]


def test_what_is_unknown_is_counted_and_keeps_its_turn(dataset):
    pairs = [("u1", "a"), ("nobody", "a"), ("u10", "nothing"), ("u9", "a"), ("u9", "b"), ("u9", "zzz")]
    requests = found(dataset, pairs)
    assert requests.entities == ["nobody", "u1", "u10", "u9"]
    assert list(requests.known) == [False, True, True, True]
    reasons = [requests[at].unknown for at in range(4)]
    assert reasons == ["no such user (session) in the data", "", "no such item in the data", ""]
    assert [len(requests[at].rows) for at in range(4)] == [0, 1, 0, 1]
    assert requests.unknown_pairs == 4
    assert requests.report() == (
        "4 requests, 2 interactions to forget; not in the data, skipped: 1 users (sessions), 4 (user, item) pairs"
    )
    assert found(dataset, pairs[:1]).report() == "1 requests, 1 interactions to forget"


def test_chosen_requests_stand_in_the_order_in_which_they_are_chosen(dataset):
    requests = found(dataset, [("u1", "a"), ("u1", "l"), ("u10", "a"), ("stranger", "a"), ("u9", "b")])
    assert requests.entities == ["stranger", "u1", "u10", "u9"]
    chosen = requests.chosen([3, 0, 1])
    assert [(one.index, one.entity, one.unknown) for one in chosen.between(0, 3)] == [
        (0, "u9", ""), (1, "stranger", requests[0].unknown), (2, "u1", ""),
    ]  # fmt: skip
    assert [one.rows.tolist() for one in chosen.between(0, 3)] == [requests[at].rows.tolist() for at in (3, 0, 1)]
    assert len(chosen) == 3 and chosen.sha256 == requests.sha256


def test_requests_for_everything_of_some_entities(dataset):
    requests = requests_of(dataset, ["u9", "u10"], "sha")
    assert len(requests) == 2 and requests.sha256 == "sha"
    for index, user in enumerate(("u9", "u10")):
        own = rows_of(dataset, [row[:2] for row in ROWS if row[0] == user])
        assert (requests[index].entity, sorted(requests[index].rows)) == (user, own)
        assert requests[index].unknown == ""
    assert requests.mask(1, len(dataset.log)).sum() == 6 and requests.mask(2, len(dataset.log)).sum() == 14


def test_nothing_to_forget_is_told(dataset):
    with pytest.raises(UserError, match="empty"):
        find_requests(dataset, [], [], [], "sha")
    with pytest.raises(UserError, match="none of the forget set's"):
        found(dataset, [("nobody", "a"), ("u9", "a")])


def test_an_item_of_none_stands_for_every_listed_item(dataset):
    listed = np.zeros(dataset.n_items, dtype=bool)
    listed[dataset.token2id("item_id", ["a", "b"])] = True
    requests = found(dataset, [("u10", None), ("u9", None)], listed)
    assert sorted(requests[0].rows) == rows_of(dataset, [("u10", "a"), ("u10", "b")])
    assert sorted(requests[1].rows) == rows_of(dataset, [("u9", "b")])


USERS, ITEMS = ["u1", "u10", "u9", "nobody"], [*"abcdkl", "nothing"]
PAIRS = st.tuples(st.sampled_from(USERS), st.sampled_from(ITEMS))


@given(st.lists(PAIRS, min_size=1, max_size=20, unique=True))
def test_masks_are_unions_of_the_first_requests(dataset, pairs):
    if not rows_of(dataset, pairs):
        with pytest.raises(UserError):
            found(dataset, pairs)
        return
    requests = found(dataset, pairs)
    n_rows = len(dataset.log)
    for n_done in range(len(requests) + 1):
        asked = [pair for pair in pairs if pair[0] in requests.entities[:n_done]]
        assert list(np.flatnonzero(requests.mask(n_done, n_rows))) == rows_of(dataset, asked)
    assert requests.unknown_pairs == len([pair for pair in pairs if not rows_of(dataset, [pair])])
