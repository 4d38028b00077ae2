"""Views: the same fixed evaluation data for every model, and result rows with a fixed meaning."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.evaluator import (
    COLUMNS,
    EvalSettings,
    Table,
    build_views,
    evaluate,
    get_probe,
    mean_utility,
    views,
)
from recbole.evaluator.scores import top_items
from recbole.evaluator.utility import utility
from recbole.model import get_model
from recbole.utils import UserError

SEEDS = st.integers(0, 2**32 - 1)
NOT_UTILITY = ("exposure", "distance")
ALL = ("utility", *NOT_UTILITY)


METRICS = {"metrics": ["Recall", "MRR", "NDCG", "Hit", "Precision"], "topk": [10, 20]}
SETTINGS = EvalSettings.from_config(METRICS | {"eval_batch_size": 4096})


def put(model, made, names=ALL, reference=None, /, **about):
    """Evaluate a model with the probes of the given names."""
    return evaluate(model, made, SETTINGS, [get_probe(name)() for name in names], reference, **about)


def ragged(rows):
    return [set(rows.values[a:b].tolist()) for a, b in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]


def model_of(dataset, seed=1):
    torch.manual_seed(seed)
    return get_model("BPR")(dataset.config, dataset)


def two_users(dataset):
    """Return a mask of half of the rows of users 3 and 20, in all splits."""
    forgotten = np.zeros(len(dataset.log), dtype=bool)
    forgotten[dataset.log.rows_of([3, 20])[::2]] = True
    return forgotten


def same_rows(one, other):
    return all(
        np.array_equal(np.asarray(a), np.asarray(b))
        for part in ("positives", "history")
        for a, b in (
            (getattr(one, part).values, getattr(other, part).values),
            (getattr(one, part).offsets, getattr(other, part).offsets),
            (one.entity, other.entity),
            (one.inputs["user_id"], other.inputs["user_id"]),
        )
    )


# --- evaluation data -------------------------------------------------------------------------------------------------
@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_views_depend_on_the_given_mask_and_not_on_that_of_the_data_set(small_dataset, seed):
    rng = np.random.default_rng(seed)
    forgotten = rng.random(len(small_dataset.log)) < 0.2
    plain = build_views(small_dataset, forgotten, 2, 2)
    elsewhere = build_views(small_dataset.masked(rng.random(len(forgotten)) < 0.5), forgotten, 2, 2)
    assert list(plain.utility) == list(elsewhere.utility) == ["all", "current"]
    for name in plain.utility:
        assert same_rows(plain.utility[name], elsewhere.utility[name])
    assert same_rows(plain.shown, elsewhere.shown) and ragged(plain.forgotten) == ragged(elsewhere.forgotten)
    assert np.array_equal(plain.requesting, np.unique(small_dataset.log.user[forgotten]))


def test_the_view_all_includes_forgotten_rows_and_current_does_not(small_dataset):
    forgotten = two_users(small_dataset)
    made = build_views(small_dataset, forgotten, 0, 2)
    current = small_dataset.masked(forgotten)
    assert same_rows(made.utility["all"], small_dataset.eval_rows("test"))
    assert same_rows(made.utility["current"], current.eval_rows("test"))
    users = made.shown.entity
    assert made.requesting.tolist() == [3, 20] and users.tolist() == [
        3,
        20,
        *(u for u in range(1, 25) if u not in (3, 20)),
    ]
    assert same_rows(made.shown, current.exposure_rows(users))
    log = small_dataset.log
    asked = {user: set(log.item[forgotten & (log.user == user)].tolist()) for user in (3, 20)}
    assert ragged(made.forgotten) == [asked[3], asked[20]] + [set()] * 22


def test_without_requests_there_is_one_view_and_one_population(small_dataset):
    nothing = np.zeros(len(small_dataset.log), dtype=bool)
    made = build_views(small_dataset, nothing, None, 2, np.ones(41, dtype=bool))
    assert list(made.utility) == ["all"] and len(made.shown.entity) == 24
    rows = put(model_of(small_dataset), made)
    assert {row["population"] for row in rows} == {row["view"] for row in rows} == {"all"}
    assert {row["checkpoint"] for row in rows} == {None} and not any("forgotten" in row["metric"] for row in rows)


def test_other_users_are_a_fixed_sample(small_dataset, monkeypatch):
    monkeypatch.setattr(views, "OTHERS", 5)
    made, again = (build_views(small_dataset, two_users(small_dataset), index, 2) for index in (0, 3))
    assert made.shown.entity[:2].tolist() == [3, 20] and len(set(made.shown.entity.tolist())) == 7
    assert np.array_equal(made.shown.entity, again.shown.entity)
    nothing = build_views(small_dataset, np.zeros(len(small_dataset.log), dtype=bool), None, 2)
    assert len(nothing.shown.entity) == 24, "without requests all users are included, as in ERASE"


# --- result rows -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def table(small_dataset):
    """Return (views, model, result rows) of a checkpoint, with a reference model and a list of sensitive items."""
    sensitive = np.isin(np.arange(41), [1, 5, 9, 20, 21])
    made = build_views(small_dataset, two_users(small_dataset), 1, 2, sensitive)
    model, retrained = model_of(small_dataset), model_of(small_dataset, 2)
    rows = put(model, made, ALL, (retrained, "r.pth 0f"), model="unlearned", algorithm="scif")
    return made, model, rows


def only(rows, **wanted):
    wanted = {"minus": None} | wanted
    (found,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return found


def test_every_row_has_every_column_and_no_row_comes_twice(table):
    _, _, rows = table
    assert all(tuple(row) == COLUMNS for row in rows)
    keys = [tuple(row[name] for name in COLUMNS if name not in ("value", "n_rows", "n_skipped")) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {(row["model"], row["algorithm"], row["checkpoint"], row["split"]) for row in rows} == {
        ("unlearned", "scif", 1, "test")
    }


def test_populations_are_means_over_their_rows(table, small_dataset):
    made, model, rows = table
    for view, questions in made.utility.items():
        values = utility(model, questions, SETTINGS).per_row()["ndcg", 10]
        asked = np.isin(questions.entity, [3, 20])
        for population, chosen in (("all", asked | True), ("requesting", asked), ("others", ~asked)):
            found = only(rows, metric="ndcg", k=10, view=view, population=population)
            assert found["value"] == np.mean(values[chosen]) and found["n_rows"] == chosen.sum()
            assert found["masking"] == "retained" and found["n_skipped"] == questions.n_skipped
    mean = mean_utility(model, made.utility["all"], small_dataset.config)
    assert mean["ndcg@10"] == only(rows, metric="ndcg", k=10, view="all", population="all")["value"]


@pytest.mark.parametrize("masking", ["all", "retained"])
def test_exposure_has_rows_with_and_without_masking_the_retained_history(table, masking):
    made, model, rows = table
    best = top_items(model, made.shown, 20, masked=masking == "retained")
    history, forgotten = ragged(made.shown.history), ragged(made.forgotten)
    if masking == "retained":
        assert not any(set(row) & seen for row, seen in zip(best.tolist(), history, strict=True))
    about = {"masking": masking, "view": "current", "k": 20}
    shown = np.array([sum(item in (1, 5, 9, 20, 21) for item in row) for row in best.tolist()])
    for population, chosen in (("all", slice(None)), ("requesting", slice(2)), ("others", slice(2, None))):
        found = only(rows, metric="pct_users_with_sensitive", population=population, **about)
        assert found["value"] == pytest.approx(100 * np.mean(shown[chosen] > 0))
        total = only(rows, metric="total_sensitive_in_topk", population=population, **about)
        assert total["value"] == shown[chosen].sum() and total["n_rows"] == len(shown[chosen])
    again = [len(set(row) & asked) / len(asked) for row, asked in zip(best[:2].tolist(), forgotten[:2], strict=True)]
    found = only(rows, metric="recall_of_forgotten", population="requesting", **about)
    assert found["value"] == pytest.approx(np.mean(again))
    assert not [row for row in rows if "forgotten" in row["metric"] and row["population"] != "requesting"]


def test_forgotten_items_can_be_recommended_again(table):
    """A forgotten item is not history, so that an unlearned model that still recommends it is detected."""
    made, _, _ = table
    overlap = [seen & asked for seen, asked in zip(ragged(made.shown.history), ragged(made.forgotten), strict=True)]
    assert not any(overlap)


def test_distances_name_their_reference(table):
    _, _, rows = table
    several = (("js_divergence", None), ("jaccard", 10), ("jaccard", 20), ("rank_biased_overlap", None))
    for metric, k in several:
        found = [row for row in rows if (row["metric"], row["k"]) == (metric, k)]
        assert [row["population"] for row in found] == ["all", "requesting", "others"]
        assert {(row["reference"], row["view"], row["masking"], row["k"]) for row in found} == {
            ("r.pth 0f", "current", "all", k)
        }
        total = sum(row["value"] * row["n_rows"] for row in found[1:])
        assert found[0]["value"] == pytest.approx(total / found[0]["n_rows"])
    assert {row["population"] for row in rows if row["metric"] == "rank_change"} == {"requesting"}
    distances = {metric for metric, _ in several} | {"rank_change"}
    rest = [row for row in rows if row["metric"] not in distances]
    assert {(row["minus"], row["reference"]) for row in rest} == {(None, None), ("retrained", "r.pth 0f")}


def test_a_model_has_distance_zero_from_itself_and_evaluation_has_no_side_effect(table, small_dataset):
    made, model, rows = table
    before = {name: value.clone() for name, value in model.state_dict().items()}
    again = put(model, made, ALL, (model, "r.pth 0f"), model="unlearned", algorithm="scif")
    assert [row["value"] for row in again if row["metric"] == "js_divergence"] == [0.0] * 3
    assert [row["value"] for row in again if row["metric"] == "jaccard"] == [1.0] * 6
    assert [row["value"] for row in again if row["metric"] == "rank_biased_overlap"] == pytest.approx([1.0] * 3)
    differences = [row for row in again if row["minus"] is not None or row["metric"] == "rank_change"]
    assert {(row["value"], row["low"], row["high"]) for row in differences if row["n_people"] > 1} == {(0.0, 0.0, 0.0)}
    assert {row["value"] for row in differences} == {0.0}
    plain = [row for row in rows if row["reference"] is None]
    assert [row for row in again if row["reference"] is None] == plain, "a second evaluation gives the same rows"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_utility_can_be_left_out(table, small_dataset):
    made, model, rows = table
    bare = put(model, made, NOT_UTILITY, model="unlearned", algorithm="scif")
    kept = [row for row in rows if "sensitive" in row["metric"] or "forgotten" in row["metric"]]
    assert bare == [row for row in kept if row["minus"] is None], "without a reference there are no differences"


def test_exposure_changes_with_the_weights(table, small_dataset):
    made, model, _ = table
    other = model_of(small_dataset)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        other.user_embedding.weight[:] = 1
        other.item_embedding.weight[:] = torch.where(torch.from_numpy(made.sensitive)[:, None], 1.0, -1.0)
    rows = put(other, made, NOT_UTILITY)
    about = {"metric": "avg_sensitive_per_user", "population": "all", "k": 10}
    assert only(rows, masking="all", **about)["value"] == 5


def test_utility_of_a_model_that_knows_the_test_set(small_dataset):
    """A model that scores exactly the user's test items highest has NDCG and hit rate 1."""
    model, rows = model_of(small_dataset), small_dataset.eval_rows("test")
    assert small_dataset.config["embedding_size"] == 4
    oracle = torch.zeros(25, 41)
    oracle[np.repeat(rows.entity, rows.positives.sizes()), rows.positives.values] = 1.0
    model.full_sort_predict = lambda interaction: oracle[interaction["user_id"]]
    found = mean_utility(model, rows, small_dataset.config)
    assert found["ndcg@10"] == found["hit@10"] == found["recall@20"] == found["mrr@10"] == 1.0
    assert found["precision@20"] == pytest.approx(rows.positives.sizes().mean() / 20)


def test_without_rows_values_are_nan(small_dataset, recwarn):
    masked = small_dataset.masked(np.ones(len(small_dataset.log), dtype=bool))
    rows = masked.eval_rows("test")
    assert len(rows.entity) == 0 and rows.n_skipped == 24
    assert all(np.isnan(value) for value in mean_utility(model_of(small_dataset), rows, small_dataset.config).values())
    everything = build_views(small_dataset, masked.forgotten, 3, 2, np.ones(41, dtype=bool))
    table = put(model_of(small_dataset), everything)
    others = [row for row in table if row["population"] == "others"]
    assert others and all(row["n_rows"] == 0 for row in others)
    assert all(np.isnan(row["value"]) or row["metric"] == "total_sensitive_in_topk" for row in others)
    assert not recwarn.list


def test_an_unknown_metric_is_rejected(small_dataset, config):
    settings = config("nowhere")
    settings["metrics"] = ["Recall", "Ndgc"]
    with pytest.raises(UserError, match="metrics: there is no metric 'Ndgc', did you mean 'NDCG'"):
        mean_utility(model_of(small_dataset), small_dataset.eval_rows("test"), settings)


def test_tables_have_only_their_columns():
    table = Table(model="base")
    table.add("ndcg", np.float32(0.5), 10, view="all")
    assert table.rows == [
        dict.fromkeys(COLUMNS) | {"model": "base", "metric": "ndcg", "value": 0.5, "k": 10, "view": "all"}
    ]
    with pytest.raises(ValueError, match="not columns of the result table: \\['views'\\]"):
        table.add("ndcg", 0.5, views="all")
