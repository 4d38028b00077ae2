"""Next-basket data, compared with a reference that removes forgotten items from lists of baskets."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from recbole.data.baskets import make_log, read_baskets
from recbole.data.interaction import cat_interactions
from recbole.data.nbr import NextBasketDataset
from recbole.evaluator import mean_utility
from recbole.utils import UserError, stream

REFERENCE = os.environ.get("ERASE_REFERENCE_DATA")
PLACE = {"train": -3, "valid": -2, "test": -1}


class Settings(dict):
    """A configuration: a dictionary with attributes that the data set reads."""

    def __missing__(self, key):
        return None


def config(folder=".", **more):
    limits = {"MIN_NBR_BASKET_COUNT": 4, "MAX_NBR_HISTORY_BASKETS": 50, "MAX_NBR_BASKET_SIZE": -1}
    fields = {"USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "dataset": "toy", "data_path": str(folder)}
    modes = {"eval_args": {"mode": {"valid": "full", "test": "full"}}}
    return Settings(limits | fields | modes | {"seed": 2, "metrics": ["Recall", "NDCG", "Hit"], "topk": [1, 3]} | more)


def load(folder, baskets, **more):
    (folder / "toy_merged.json").write_text(baskets if isinstance(baskets, str) else json.dumps(baskets))
    return NextBasketDataset.from_config(config(folder, **more))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("baskets")


class Oracle:
    """The reference: the baskets of every user as lists of (row, item token), with and without forgotten rows."""

    def __init__(self, baskets, n_slots, n_places):
        kept = {user: [b for b in map(dict.fromkeys, own) if b] for user, own in baskets.items()}
        self.users, row, self.n_slots, self.n_places = {}, 0, n_slots, n_places
        for user, own in kept.items():
            if len(own) >= 4:
                self.users[user] = []
                for basket in own:
                    self.users[user].append([(row + at, str(item)) for at, item in enumerate(basket)])
                    row += len(basket)
        self.n_rows = row

    def example(self, user, split, gone):
        """Return the (history, target) tokens of a user's example in a split without the rows ``gone``, or None."""
        left = [[(r, item) for r, item in basket if r not in gone] for basket in self.users[user]]
        history = [basket[: self.n_places] for basket in left[: PLACE[split]] if basket][-self.n_slots :]
        target = left[PLACE[split]]
        return (history, target) if history and target else None

    def examples(self, split, gone):
        found = {user: self.example(user, split, gone) for user in self.users}
        return {user: example for user, example in found.items() if example}


def tokens_of(dataset, batch):
    """Return a batch as ``{user: (history, target)}`` in tokens, and check its lengths and padding."""
    found = {}
    for at in range(len(batch)):
        row = {name: batch[name][at].tolist() for name in batch}
        history = [[item for item in basket if item] for basket in row["history_item_matrix"]]
        lengths = row["history_item_length_per_basket"]
        assert [len(basket) for basket in history] == lengths
        assert all(lengths[: row["history_basket_length"]]) and not any(lengths[row["history_basket_length"] :])
        target = [item for item in row["target_item_list"] if item != -1]
        assert len(target) == row["target_item_length"]
        assert row["target_item_list"][len(target) :] == [-1] * (len(row["target_item_list"]) - len(target))
        user = dataset.id2token("user_id", row["user_id"])
        named = [dataset.id2token("item_id", basket).tolist() for basket in history if basket]
        found[user] = (named, dataset.id2token("item_id", np.array(target, dtype=int)).tolist())
    return found


def named(examples):
    return {
        user: ([[item for _, item in basket] for basket in history], [item for _, item in target])
        for user, (history, target) in examples.items()
    }


baskets_of_users = st.dictionaries(
    st.sampled_from(["7", "u", "03", "11"]),
    st.lists(st.lists(st.integers(0, 6), max_size=4), min_size=0, max_size=9),
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(baskets_of_users, st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**30))
def test_forgetting_removes_items_from_the_baskets(folder, baskets, n_slots, n_places, seed):
    oracle = Oracle(baskets, n_slots, n_places)
    limits = {"MAX_NBR_HISTORY_BASKETS": n_slots, "MAX_NBR_BASKET_SIZE": n_places}
    if not oracle.users:
        with pytest.raises(UserError, match="no user has 4 baskets"):
            load(folder, baskets, **limits)
        return
    dataset = load(folder, baskets, **limits)
    assert len(dataset.log) == oracle.n_rows
    generator, gone = np.random.default_rng(seed), set()
    for _ in range(3):
        rows = generator.choice(oracle.n_rows, size=generator.integers(1, min(oracle.n_rows, 9)), replace=False)
        before, left = oracle.examples("train", gone), gone | set(rows.tolist())
        rows_in = {user: {r for basket in [*h, target] for r, _ in basket} for user, (h, target) in before.items()}
        touched = {user: example for user, example in before.items() if rows_in[user] & set(rows.tolist())}
        after = {u: e for u, e in oracle.examples("train", left).items() if u in touched}
        change = dataset.forget(rows)
        assert tokens_of(dataset, change.before) == named(touched)
        assert tokens_of(dataset, change.after) == named(after)
        assert set(change.rows.tolist()) == set(rows.tolist()) - gone
        users = change.before["user_id"][change.kept]
        assert torch.equal(users, change.after["user_id"])
        gone = left
        assert tokens_of(dataset, dataset.collate(dataset.train_examples())) == named(oracle.examples("train", gone))
        for split in ("valid", "test"):
            questions = dataset.eval_rows(split)
            right = oracle.examples(split, gone)
            assert tokens_of(dataset, questions.inputs[:]) == named(right)
            assert questions.n_skipped == len(oracle.users) - len(right)
            assert not len(questions.history.values)
            values, offsets = questions.positives.values, questions.positives.offsets
            users = dataset.id2token("user_id", questions.entity)
            got = {
                u: set(dataset.id2token("item_id", values[offsets[at] : offsets[at + 1]])) for at, u in enumerate(users)
            }
            assert got == {user: set(target) for user, (_, target) in named(right).items()}


TOY = {"a": [[1, 2], [3], [1], [2, 4], [5]], "b": [[5], [1, 2], [3], [2]], "c": [[1], [2], [3]]}


def test_ids_labels_and_train_part(folder):
    dataset = load(folder, TOY)
    assert str(dataset) == "toy: 2 users, 5 items, 12 interactions (NBR), 9 baskets"
    assert dataset.token2id("item_id", ["1", "2", "3", "4", "5"]).tolist() == [1, 2, 3, 4, 5]
    assert dataset.log.split.tolist() == [-1, -1, -1, 0, 1, 1, 2, -1, 0, 0, 1, 2]
    assert dataset.log.item[dataset.train_rows].tolist() == [1, 2, 3, 1, 5, 1, 2]
    assert dataset.inter_num == 7
    assert dataset.inter_matrix("csr").sum() == 7
    assert dataset.log.user_baskets.tolist() == [0, 0, 5, 9]
    assert dataset.log.basket_offsets.tolist() == [0, 2, 3, 4, 6, 7, 8, 10, 11, 12]


def test_examples_of_users_and_sampled_examples(folder):
    dataset = load(folder, {str(user): [[1], [2], [3], [user]] for user in range(40)})
    every = dataset.train_examples()
    assert every.tolist() == list(range(1, 160, 4))
    assert dataset.examples_of([3, 1]).tolist() == [9, 1]
    few = dataset.draw_examples(5, stream(2, "draw"))
    assert len(few) == 5 and set(few) <= set(every)
    assert dataset.draw_examples(100, stream(2, "draw")).tolist() == every.tolist()
    draws = np.concatenate([dataset.draw_examples(5, stream(2, "draw", n)) for n in range(600)])
    counts = np.bincount(draws, minlength=160)
    assert counts[every].min() > 0.5 * 75 and counts[every].max() < 1.5 * 75  # the expected count is 75 each


def test_histories_for_models_contain_the_training_rows(folder):
    dataset = load(folder, {"a": [[7, 8], [9], [7], [8]], "b": [[9], [8], [7], [7], [9]]})
    items, ones, lengths = dataset.history_item_matrix()
    owned = [items[user, : lengths[user]].tolist() for user in range(3)]
    assert [dataset.id2token("item_id", row).tolist() for row in owned] == [[], ["7", "8", "9"], ["9", "8", "7"]]
    assert ones.sum() == lengths.sum() == 6


def test_exposure_rows_exist_for_all_users_with_a_history(folder):
    dataset = load(folder, TOY)
    gone = np.zeros(len(dataset.log), dtype=bool)
    gone[dataset.log.user == 2] = True
    gone[6] = True  # the test target of user a; the evaluation row stays
    rows = dataset.masked(gone).exposure_rows(np.array([1, 2]))
    assert rows.entity.tolist() == [1] and rows.n_skipped == 1
    assert tokens_of(dataset, rows.inputs[:]) == {"a": ([["1", "2"], ["3"], ["1"], ["2", "4"]], [])}


def test_evaluation_rows_do_not_change_with_a_later_mask(folder):
    dataset = load(folder, TOY)
    rows = dataset.eval_rows("test")
    before = tokens_of(dataset, rows.inputs[:])
    dataset.forget(np.arange(4))
    assert tokens_of(dataset, rows.inputs[:]) == before


def test_batches_with_different_widths_can_be_concatenated(folder):
    dataset = load(folder, TOY)
    every = dataset.eval_rows("test").inputs
    both = cat_interactions([every[:1], every[1:]])
    assert torch.equal(both["history_item_matrix"], every[:]["history_item_matrix"])
    assert torch.equal(both["history_basket_length"], every[:]["history_basket_length"])


class Fixed(nn.Module):
    """A model whose scores depend only on the user."""

    n_items = 6

    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(torch.tensor([[0.0] * 6, [9, 1, 2, 3, 4, 5], [9, 5, 4, 3, 2, 1]]))

    def full_sort_predict(self, interaction):
        return self.scores[interaction["user_id"]].clone()


def test_metrics_use_the_set_of_target_items(folder):
    dataset = load(folder, {"a": [[1], [2], [3], [4, 5, 1]], "b": [[1], [2], [3], [4]]})
    rows = dataset.eval_rows("test")
    found = mean_utility(Fixed(), rows, config(eval_batch_size=1))
    top = {"a": ["5", "4", "3"], "b": ["1", "2", "3"]}  # ids are in the order of tokens
    right = {"a": {"4", "5", "1"}, "b": {"4"}}
    for k in (1, 3):
        hits = {user: [item in right[user] for item in top[user][:k]] for user in top}
        gain = {user: sum(hit / np.log2(at + 2) for at, hit in enumerate(hits[user])) for user in top}
        best = {user: sum(1 / np.log2(at + 2) for at in range(min(k, len(right[user])))) for user in top}
        assert found[f"recall@{k}"] == pytest.approx(np.mean([sum(hits[u]) / len(right[u]) for u in top]))
        assert found[f"hit@{k}"] == pytest.approx(np.mean([any(hits[u]) for u in top]))
        assert found[f"ndcg@{k}"] == pytest.approx(np.mean([gain[u] / best[u] for u in top]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("[[1]]", "expected a JSON object with the baskets of each user, found list"),
        ('{"1": 5}', "user '1': expected a list of baskets, found 5"),
        ('{"1": [[1]], "2": [[1], 7]}', "user '2', basket 2: expected a list of items, found 7"),
        ('{"1": [[1], [2, -3]]}', "user '1', basket 2: item -3 is not a whole number from 0 to 2^63 - 1"),
        ('{"1": [[1.0]]}', "user '1', basket 1: item 1.0 is not a whole number"),
        ('{"1": [["1"]]}', "user '1', basket 1: item '1' is not a whole number"),
        ('{"1": [[true]]}', "user '1', basket 1: item True is not a whole number"),
        ('{"1": [[99999999999999999999]]}', "user '1', basket 1: item 99999999999999999999 is not"),
        ('{"1": [{"a": 1}]}', "user '1', basket 1: expected a list of items"),
        ('{"1": {"a": 1}}', "user '1': expected a list of baskets"),
        ('{"1": [[1]], "1": [[2]]}', "user '1' appears twice"),
        ("{}", "no user has 4 baskets or more (MIN_NBR_BASKET_COUNT)"),
    ],
)
def test_errors_in_the_file_give_one_line_messages(folder, text, message):
    with pytest.raises(UserError) as told:
        load(folder, text)
    assert message in str(told.value) and "toy_merged.json" in str(told.value)
    assert "\n" not in str(told.value)


def test_other_errors(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*other\.json"):
        NextBasketDataset.from_config(config(tmp_path, NEXT_BASKET_JSON="other.json"))
    with pytest.raises(UserError, match="NEXT_BASKET_SPLIT_RATIO"):
        load(tmp_path, TOY, NEXT_BASKET_SPLIT_RATIO=[0.72, 0.08, 0.2])


def test_left_out_users_are_logged(folder, caplog):
    with caplog.at_level("INFO", logger="recbole"):
        dataset = load(folder, {"a": [[1, 1, 2], [], [3], [1], [2]], "b": [[1], [], [2], [3]]})
    assert "1 repeated items in a basket" in caplog.text
    assert "1 of 2 users have fewer than 4 baskets" in caplog.text
    assert dataset.log.item.tolist() == [1, 2, 3, 1, 2]


@pytest.mark.skipif(REFERENCE is None, reason="needs the reference data")
def test_ta_feng_is_complete():
    path = Path(REFERENCE) / "data/tafeng/tafeng_merged.json"
    raw = read_baskets(path)
    assert (len(raw.users), len(raw.items_per_basket), len(raw.items)) == (13858, 91227, 571933)
    assert make_log("tafeng", raw).vocabulary["item"].tokens(np.arange(1, 11998)).astype(int).max() == 11996
    dataset = NextBasketDataset.from_config(config(NEXT_BASKET_JSON=str(path.resolve())))
    assert (dataset.n_users - 1, dataset.n_items - 1) == (10061, 11997)
    everybody = json.loads(path.read_bytes())
    rows = dataset.eval_rows("test")
    for at in range(0, 10061, 1000):
        user = dataset.id2token("user_id", rows.entity[at])
        history, target = tokens_of(dataset, rows.inputs[at : at + 1])[user]
        assert [[int(item) for item in basket] for basket in [*history, target]] == everybody[user][-51:]
