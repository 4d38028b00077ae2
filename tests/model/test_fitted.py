"""EASE and ItemKNN, compared with brute force; exact unlearning compared with fitting again."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.data import Interaction
from recbole.model import get_model
from recbole.model.general_recommender import itemknn
from recbole.utils import UserError, stream


@pytest.fixture(scope="module")
def build(config, small_dataset):
    """A function: ``build(name, rows, **settings)`` returns a model fitted without the rows, and its data."""

    def make(name, rows=(), **settings):
        cls = get_model(name)
        cfg = config("unused", model=name, **settings)
        cfg.bind_model(cls)
        mask = np.zeros(len(small_dataset.log), dtype=bool)
        mask[np.asarray(rows, dtype=np.int64)] = True
        dataset = type(small_dataset)(cfg, small_dataset.log, mask)
        return cls(cfg, dataset), dataset

    return make


def scores(model, dataset):
    return model.full_sort_predict(Interaction({"user_id": torch.arange(dataset.n_users)}))


MODELS = [("EASE", {"reg_weight": 3.0}), ("ItemKNN", {"k": 5}), ("ItemKNN", {"k": 4, "knn_method": "user"})]


def test_ease_minimises_its_ridge_loss(build):
    model, dataset = build("EASE", reg_weight=3.0)
    x = dataset.inter_matrix("csr").toarray()
    n = x.shape[1]
    expected = np.zeros((n, n))
    for j in range(n):  # each column solves a ridge regression on the other items
        others = [i for i in range(n) if i != j]
        z = x[:, others]
        expected[others, j] = np.linalg.solve(z.T @ z + 3.0 * np.eye(n - 1), z.T @ x[:, j])
    assert np.allclose(scores(model, dataset).numpy(), x @ expected, atol=1e-10)


@pytest.mark.parametrize("shrink", [0.0, 2.5])
@pytest.mark.parametrize("method", ["item", "user"])
def test_itemknn_by_hand(build, method, shrink, monkeypatch):
    monkeypatch.setattr(itemknn, "PAIRS_AT_ONCE", 100)  # forces several blocks
    model, dataset = build("ItemKNN", k=5, shrink=shrink, knn_method=method)
    x = dataset.inter_matrix("csr").toarray()
    table = x if method == "item" else x.T
    n = table.shape[1]
    w = np.zeros((n, n))
    for j in range(n):
        found = []
        for i in range(n):
            common = sum(a * b for a, b in zip(table[:, i], table[:, j], strict=True))
            norms = math.sqrt(sum(table[:, i] ** 2)) * math.sqrt(sum(table[:, j] ** 2))
            if i != j and common:
                found.append((-common / (norms + shrink + 1e-6), i))
        for similarity, i in sorted(found)[:5]:
            w[i, j] = -similarity
    expected = x @ w if method == "item" else w.T @ x
    assert np.allclose(scores(model, dataset).numpy(), expected, atol=1e-12)
    assert (np.diff(model.w.indptr) == 5).sum() > n // 2, "the limit has an effect"


@pytest.mark.parametrize(("name", "options"), MODELS)
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_forgetting_step_by_step_equals_fitting_the_remaining_rows(build, name, options, sizes, seed):
    model, dataset = build(name, **options)
    order = stream(seed, "order").permutation(dataset.train_rows)
    before = scores(model, dataset)
    gone = 0
    for size in sizes:
        gone += size
        _, reduced = build(name, order[:gone], **options)
        model.rebuild(reduced)
        scores(model, reduced)
    fresh, reduced = build(name, order[:gone], **options)
    found = scores(model, reduced)
    assert torch.allclose(found, scores(fresh, reduced), rtol=0, atol=1e-8)
    assert not torch.allclose(found, before, atol=1e-8)


@pytest.mark.parametrize(("name", "options"), MODELS)
def test_a_small_change_is_an_update_rather_than_a_new_fit(build, name, options, monkeypatch):
    model, dataset = build(name, **options)
    scores(model, dataset)
    monkeypatch.setattr(type(model), "fit", lambda *_: pytest.fail("fitted anew"))
    rows = dataset.log.rows_of(np.array([3, 20]))[:4]
    _, reduced = build(name, rows, **options)
    model.rebuild(reduced)
    scores(model, reduced)


def test_ease_is_fitted_again_if_many_users_changed(build, monkeypatch):
    model, dataset = build("EASE")
    scores(model, dataset)
    _, reduced = build("EASE", dataset.train_rows[::2])
    monkeypatch.setattr(type(model), "downdate", lambda *_: pytest.fail("corrected"))
    model.rebuild(reduced)
    fresh, _ = build("EASE", dataset.train_rows[::2])
    assert torch.equal(scores(model, reduced), scores(fresh, reduced))


@pytest.mark.parametrize(("name", "options"), MODELS)
def test_pairs_are_scored_like_lists(build, name, options):
    model, dataset = build(name, **options)
    asked = dataset.collate(dataset.train_examples()[::-3])
    expected = scores(model, dataset)[asked["user_id"], asked["item_id"]]
    assert torch.allclose(model.predict(asked), expected, rtol=1e-12)


@pytest.mark.parametrize(("name", "parameter"), [("EASE", "dummy_param"), ("ItemKNN", "fake_loss")])
def test_a_checkpoint_contains_no_training_data(build, name, parameter):
    model, dataset = build(name)
    scores(model, dataset)
    assert set(model.state_dict()) == {parameter} and not model.trainable
    model.calculate_loss(dataset.collate(dataset.train_examples())).backward()
    assert not getattr(model, parameter).grad.any()
    assert model.other_parameter() is None


@pytest.mark.parametrize(("name", "options"), MODELS)
def test_a_checkpoint_contains_the_result_of_updates(build, name, options, monkeypatch):
    model, dataset = build(name, **options)
    scores(model, dataset)
    _, reduced = build(name, dataset.log.rows_of(np.array([3, 20]))[:4], **options)
    model.rebuild(reduced)
    loaded = type(model)(reduced.config, reduced)
    loaded.load_other_parameter(model.other_parameter())
    monkeypatch.setattr(type(model), "fit", lambda *_: pytest.fail("fitted anew"))
    assert torch.equal(scores(loaded, reduced), scores(model, reduced))
    with pytest.raises(UserError, match="belongs to another model"):
        loaded.load_other_parameter({"learned": torch.zeros(3, 4)})
    assert loaded.other_parameter() is not None, "a copy of the checkpoint is complete"


NUMBERS = st.sampled_from([-(2**62), -1, 0, 1, 3, 40, 41, 2**31, 2**62])
CHANGES = st.one_of(
    st.tuples(st.sampled_from(["data", "indices", "indptr"]), st.just("entry"), st.integers(0, 40), NUMBERS),
    st.tuples(st.sampled_from(["data", "indices", "indptr"]), st.just("length"), st.integers(-3, 3), NUMBERS),
    st.tuples(
        st.sampled_from(["data", "indices", "indptr"]), st.just("type"), st.integers(0, 0),
        st.sampled_from([torch.bool, torch.int16, torch.int32, torch.float32, torch.complex64]),
    ),
    st.tuples(st.just("data"), st.just("entry"), st.integers(0, 40), st.sampled_from([math.nan, math.inf])),
)  # fmt: skip


def changed(part, kind, at, value):
    """Return a tensor with a changed entry, length or dtype."""
    if kind == "type":
        return part.to(value)
    if kind == "length":
        return part[:at] if at < 0 else torch.cat([part, part.new_full((at,), max(min(value, 99), -1))])
    entry = part.clone()
    if part.dtype in (torch.float64, torch.int64) or -2 < value < 99:
        entry[at % len(part)] = value
    return entry


@settings(max_examples=30, deadline=None)
@given(changes=st.lists(CHANGES, min_size=1, max_size=2))
def test_a_sparse_array_in_a_file_is_validated_before_use(build, changes):
    """SciPy does not check indices, and would read and write outside of its arrays."""
    model, dataset = build("ItemKNN", k=3)
    scores(model, dataset)
    model.rebuild(dataset)
    learned = dict(model.other_parameter()["learned"])
    for name, *change in changes:
        learned[name] = changed(learned[name], *change)
    loaded = type(model)(dataset.config, dataset)
    try:
        loaded.load_other_parameter({"learned": learned})
    except UserError as error:
        assert "\n" not in str(error) and "belongs to another model" in str(error)
    else:
        assert scores(loaded, dataset).isfinite().all()


@pytest.mark.parametrize(
    "change", [lambda x: x * math.nan, lambda x: x > 0, lambda x: x.to(torch.complex64), lambda x: x.to_sparse()]
)
def test_a_dense_array_in_a_file_must_be_finite(build, change):
    model, dataset = build("EASE")
    scores(model, dataset)
    model.rebuild(dataset)
    learned = model.other_parameter()["learned"]
    loaded = type(model)(dataset.config, dataset)
    with pytest.raises(UserError, match="belongs to another model"):
        loaded.load_other_parameter({"learned": change(learned)})


def test_an_unknown_method_is_an_error(build):
    with pytest.raises(UserError, match="knn_method"):
        build("ItemKNN", knn_method="basket")
