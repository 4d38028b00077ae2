"""Sampled candidates of an evaluation: negatives for each positive, the same for every model, seed and mask."""

import numpy as np
import pytest

from recbole.data import create_dataset, questions
from recbole.evaluator import build_views, mean_utility
from recbole.model import get_model
from recbole.utils import ModelType, UserError


@pytest.fixture(scope="module")
def make(tmp_path_factory, config, write_inter):
    """A function: ``make(mode, rows, **settings)`` returns the data set of rows (user, item, time, rating)."""
    draw = np.random.default_rng(3)
    rows = [(f"u{u}", f"i{i}") for u in range(24) for i in draw.choice(40, 3 + u, replace=False)]
    rows = [(*rows[at], int(draw.integers(200)), int(draw.integers(1, 6))) for at in draw.permutation(len(rows))]

    def made(mode, given=rows, model=ModelType.GENERAL, **settings):
        folder = tmp_path_factory.mktemp("drawn")
        write_inter(folder, given, "user_id:token item_id:token timestamp:float rating:float")
        load = {"inter": ["user_id", "item_id", "timestamp", "rating"]}
        eval_args = {"order": "TO", "mode": mode} | settings.pop("eval_args", {})
        return create_dataset(config(folder, eval_args=eval_args, load_col=load, **settings), model)

    return made


def each(rows):
    """Yield the positive items, the history and the sampled items [positives, count] of each evaluation row."""
    row, item = rows.sampled.draw(rows, 0, len(rows.entity))
    for at in range(len(rows.entity)):
        one = rows.take(np.array([at]))
        right = one.positives.values
        yield right, one.history.values, item[row == at].reshape(len(right), -1)


def by_tokens(dataset, rows):
    """Return ``{(user, positive item): sampled items}``, all as tokens."""
    items = dataset.log.vocabulary["item"]
    found = {}
    for user, (right, _, drawn) in zip(dataset.log.vocabulary["user"].tokens(rows.entity), each(rows), strict=True):
        for item, some in zip(items.tokens(right), drawn, strict=True):
            found[str(user), str(item)] = sorted(map(str, items.tokens(some)))
    return found


@pytest.mark.parametrize("mode", ["uni7", "pop7"])
def test_each_positive_has_negatives_that_the_user_never_had(make, mode):
    rows = make(mode).eval_rows("test")
    for right, history, drawn in each(rows):
        assert drawn.shape == (len(right), 7) and drawn.min() > 0
        assert not np.isin(drawn, np.concatenate([right, history])).any()


def test_a_part_of_the_rows_has_the_same_candidates_as_all_rows(make):
    rows = make("uni7").eval_rows("test")
    row, item = rows.sampled.draw(rows, 0, 24)
    for start, stop in ((0, 5), (5, 24)):
        piece = rows.sampled.draw(rows, start, stop)
        inside = (row >= start) & (row < stop)
        assert np.array_equal(piece[0], row[inside] - start) and np.array_equal(piece[1], item[inside])
    some = rows.take(np.array([20, 3]))
    assert np.array_equal(some.sampled.draw(some, 1, 2)[1], item[row == 3])


def test_cached_candidates_equal_newly_sampled_ones(make, monkeypatch):
    dataset = make("uni7")
    kept = dataset.eval_rows("test").drawn(3, 20)
    monkeypatch.setattr(questions, "DRAWS_KEPT", 0)
    again = dataset.eval_rows("test").drawn(3, 20)
    assert all(np.array_equal(one, other) for one, other in zip(kept, again, strict=True))


def test_candidates_are_uniform_or_follow_popularity(make):
    dataset = make("uni300")
    (right, history, uniform), *_ = each(dataset.eval_rows("test"))
    assert len(np.unique(uniform)) == dataset.n_items - 1 - len(right) - len(history)
    common = [(f"u{u}", "common", u) for u in range(3, 40)] + [(f"u{u}", f"i{u}", 99) for u in range(40)]
    rows = [("u0", f"j{at}", at) for at in range(10)] + common
    dataset = make("pop100", [(*row, 1) for row in rows])
    user = dataset.log.vocabulary["user"].ids(["u0"])[0]
    rows = dataset.eval_rows("test")
    drawn = list(each(rows))[int(np.flatnonzero(rows.entity == user)[0])][2]
    share = float((drawn == dataset.token2id("item_id", "common")).mean())
    assert 0.3 < share < 0.6, "the item has 37 of the 76 interactions from which the sampler draws"


def test_candidates_depend_only_on_tokens(make):
    """They do not depend on the seed, on the order of the file, or on the other rows."""
    one = make("uni7")
    expected = by_tokens(one, one.eval_rows("test"))
    other = make("uni7", seed=99)
    assert by_tokens(other, other.eval_rows("test")) == expected
    assert by_tokens(one, one.eval_rows("valid")).keys() != expected.keys()


@pytest.mark.parametrize("mode", ["uni7", "pop7"])
def test_forgetting_does_not_change_other_users_candidates(make, mode):
    dataset = make(mode)
    forgotten = np.zeros(len(dataset.log), dtype=bool)
    forgotten[dataset.log.rows_of([9, 20])[::2]] = True
    names = set(dataset.log.vocabulary["user"].tokens(np.array([9, 20])))
    whole = by_tokens(dataset, dataset.eval_rows("test"))
    masked = by_tokens(dataset, dataset.masked(forgotten).eval_rows("test"))
    others = {pair: items for pair, items in whole.items() if pair[0] not in names}
    assert {pair: items for pair, items in masked.items() if pair[0] not in names} == others and len(others) > 20
    views = build_views(dataset, forgotten, 2, 2)
    model = get_model("BPR")(dataset.config, dataset)
    values = mean_utility(model, views.utility["current"], dataset.config)
    assert values == mean_utility(model, dataset.masked(forgotten).eval_rows("test"), dataset.config)


def test_metrics_rank_only_candidates(make):
    dataset = make("uni2")
    rows, model = dataset.eval_rows("test"), get_model("BPR")(dataset.config, dataset)
    settings = {"metrics": ["Hit", "ItemCoverage", "HitExpected", "GAUC", "RMSE"], "topk": [40], "eval_batch_size": 3}
    found = mean_utility(model, rows, settings)
    assert found["hit@40"] == found["hitexpected@40"] == 1.0 and 0 < found["gauc"] < 1 and found["rmse"] > 0
    assert found == pytest.approx(mean_utility(model, rows, settings | {"eval_batch_size": 4096}), rel=1e-6)


def test_with_repeatable_items_of_the_history_are_candidates(make):
    dataset = make("uni300", repeatable=True)
    dataset.config.bind_model(get_model("BPR"))
    rows = dataset.eval_rows("test")
    assert not len(rows.history.values)
    before = make("uni300").eval_rows("test")
    (right, _, drawn), *_ = [found for found in each(rows) if len(found[0]) > 1]
    past = before.take(np.array([23])).history.values
    assert np.isin(list(each(rows))[23][2], past).any() and not np.isin(drawn, right).any()


@pytest.mark.parametrize(("model", "given"), [("GRU4Rec", True), ("BPR", False)])
def test_the_default_of_repeatable_depends_on_the_task(config, tmp_path, model, given):
    plain, said = config(tmp_path, model), config(tmp_path, model, repeatable=given)
    for one in (plain, said):
        one.bind_model(get_model(model))
    assert said["repeatable"] is plain["repeatable"] is None


def test_sequences_are_repeatable(config, tmp_path):
    with pytest.raises(UserError, match=r"repeatable \(config_dict\) cannot be False for sequential"):
        config(tmp_path, "GRU4Rec", repeatable=False).bind_model(get_model("GRU4Rec"))


def test_a_user_who_has_all_items_is_rejected(make):
    rows = [("u0", f"i{at}", at, 1) for at in range(9)] + [("u1", "i1", 1, 1)] * 3
    for mode in ("uni5", "pop5"):
        asked = make(mode, rows).eval_rows("test")
        with pytest.raises(UserError, match="eval_args mode of test: a user has interacted with every item"):
            asked.sampled.draw(asked, 0, len(asked.entity))


@pytest.mark.parametrize("kind", [ModelType.GENERAL, ModelType.SEQUENTIAL])
def test_labels_are_those_of_the_log_rows(make, kind):
    dataset = make("labeled", model=kind, threshold={"rating": 4})
    rows = dataset.eval_rows("test")
    row, item, label = rows.pairs(0, len(rows.entity))
    log = dataset.log
    expected = {(u, i): r >= 4 for u, i, r in zip(log.user, log.item, log.columns["rating"], strict=True)}
    assert [expected[pair] for pair in zip(rows.entity[row], item, strict=True)] == label.tolist()
    assert len(label) == (log.split == 2).sum() and 0 < label.mean() < 1


def test_a_missing_label_column_is_an_error(make):
    with pytest.raises(UserError, match="eval_args mode labeled: no numeric column 'label' is loaded"):
        make("labeled").eval_rows("test")


@pytest.mark.parametrize("order", ["TO", "RO"])
def test_group_by_none_splits_all_interactions_together(make, order):
    rows = [(f"u{at % 7}", f"i{at}", (at * 37) % 100, 1) for at in range(100)]
    dataset = make("full", rows, eval_args={"group_by": "none", "split": {"RS": [0.7, 0.1, 0.2]}, "order": order})
    log = dataset.log
    assert np.bincount(log.split).tolist() == [70, 10, 20]
    assert (len(np.unique([(log.split[log.user == u] == 2).mean() for u in range(1, 8)])) > 1) or order == "TO"
    if order == "TO":
        time, split = log.columns["timestamp"], log.split
        assert time[split == 0].max() < time[split == 1].min() and time[split == 1].max() < time[split == 2].min()


def test_examples_of_sequences_can_be_split_together(make):
    rows = [(f"u{at % 7}", f"i{at}", at, 1) for at in range(57)]
    dataset = make("full", rows, ModelType.SEQUENTIAL, eval_args={"group_by": "none", "split": {"RS": [8, 1, 1]}})
    time, split = dataset.log.columns["timestamp"], dataset.log.split
    assert [int((split == label).sum()) for label in (-1, 0, 1, 2)] == [7, 40, 5, 5]
    assert time[split == 0].max() < time[split == 1].min() <= time[split == 1].max() < time[split == 2].min()
