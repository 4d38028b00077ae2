"""`benchmarks/compact.py`: the file without forgotten rows, the mapping of ids through tokens, and the statistics."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import t

from recbole.data import create_dataset
from recbole.data.interaction import Interaction
from recbole.utils import ModelType, UserError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """A function: ``benchmark(name)`` imports a script of the benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def compact(benchmark):
    return benchmark("compact")


@pytest.fixture
def whole(small_cf, config):
    """A data set in which the first three rows of eight users are forgotten; every user and item keeps some rows."""
    dataset = create_dataset(config(small_cf), ModelType.GENERAL)
    log, forgotten = dataset.log, np.zeros(len(dataset.log), dtype=bool)
    asking = log.vocabulary["user"].ids([f"u{at}" for at in range(10, 18)])
    forgotten[(log.offsets[asking][:, None] + np.arange(3)).ravel()] = True
    return dataset.masked(forgotten)


@pytest.fixture
def fresh(compact, whole, config, small_cf, tmp_path):
    """A function that reads the file without the forgotten rows as a data set."""
    path = tmp_path / "fresh" / "small" / "small.inter"
    compact.write_compact(whole, small_cf / "small" / "small.inter", path)
    columns = {"inter": ["user_id", "item_id", "timestamp", compact.SPLIT]}
    return lambda: create_dataset(config(tmp_path / "fresh", load_col=columns), ModelType.GENERAL)


def rows_by_token(dataset):
    """Return ``{(user, item, time): split label}`` of the retained rows, by tokens."""
    log, kept = dataset.log, ~dataset.forgotten
    names = [log.vocabulary[side].tokens(getattr(log, side)[kept]).tolist() for side in ("user", "item")]
    rows = zip(*names, log.columns["timestamp"][kept].tolist(), strict=True)
    return dict(zip(rows, log.split[kept].tolist(), strict=True))


def test_the_compact_file_has_the_retained_rows_in_their_order(fresh, whole, small_cf, tmp_path):
    fresh()
    before, after = (folder / "small" / "small.inter" for folder in (small_cf, tmp_path / "fresh"))
    lines = [line.rsplit("\t", 1)[0] for line in after.read_text().splitlines()]
    kept = {"\t".join(map(str, row)) for row in rows_by_token(whole)}
    header, *rest = before.read_text().splitlines()
    assert lines == [header, *(line for line in rest if line in kept)] and len(kept) == len(whole.log) - 24


def test_split_files_keep_the_labels_of_the_whole_log(compact, fresh, whole):
    with compact.given_split():
        given = fresh()
    assert rows_by_token(given) == rows_by_token(whole)
    assert compact.labels_moved(whole, given) == (0, 0)
    assert any((ids != np.arange(len(ids))).any() for ids in compact.new_ids(whole, given))


def test_a_new_split_moves_rows_of_requesting_users(compact, fresh, whole):
    anew = fresh()
    one, other = rows_by_token(whole), rows_by_token(anew)
    moved = [row for row, label in one.items() if other[row] != label]
    people = {user for user, _, _ in moved}
    assert compact.labels_moved(whole, anew) == (len(moved), len(people)) != (0, 0)
    assert people <= {f"u{at}" for at in range(10, 18)}


def test_a_file_with_other_rows_is_rejected(compact, fresh, whole):
    dataset, more = fresh(), whole.forgotten.copy()
    more[np.flatnonzero(~more)[0]] = True
    with pytest.raises(UserError, match="other pairs than the retained ones"):
        compact.labels_moved(whole.masked(more), dataset)


def test_a_file_that_lacks_an_item_is_rejected(compact, config, whole, write_inter, tmp_path):
    write_inter(tmp_path / "less", [("u1", "i1", 1), ("u2", "i1", 2)])
    with pytest.raises(UserError, match="users of the compact file differ"):
        compact.new_ids(whole, create_dataset(config(tmp_path / "less"), ModelType.GENERAL))


def test_repeated_pairs_are_rejected(compact, config, write_inter, tmp_path):
    path = write_inter(tmp_path, [("u1", "i1", 1), ("u1", "i1", 2)])
    with pytest.raises(UserError, match="more than once"):
        compact.write_compact(create_dataset(config(tmp_path), ModelType.GENERAL), path, tmp_path / "new.inter")


def test_a_model_of_the_reduced_file_scores_in_ids_of_the_whole_log(compact, fresh, whole):
    """The model's scores depend only on tokens, so that both data sets must give the same scores."""
    dataset = fresh()

    def scores(of, users):
        vocabulary = of.log.vocabulary
        names = [np.array([int(token[1:]) for token in vocabulary[s].token_array.to_pylist()[1:]]) for s in vocabulary]
        return torch.from_numpy(np.pad(names[0][users - 1][:, None] * 100 + names[1], ((0, 0), (1, 0))))

    model = SimpleNamespace(n_items=dataset.n_items)
    model.full_sort_predict = lambda asked: scores(dataset, asked["user_id"].numpy())
    users = np.arange(1, whole.n_users)
    asked = Interaction({"user_id": users})
    found = compact.Renumbered(model, whole, dataset).full_sort_predict(asked)
    assert torch.equal(found, scores(whole, users)) and not torch.equal(found, scores(dataset, users))


# --- statistics ------------------------------------------------------------------------------------------------------
def between(one, other):
    return np.abs(np.subtract.outer(np.asarray(one, dtype=float), other))


def test_the_excess_is_zero_for_equal_distributions_and_grows_with_a_shift(benchmark):
    tables, draw = benchmark("compact_tables"), np.random.default_rng(1)
    one, other = draw.normal(size=(2, 200))
    found = {by: tables.excess(between(one, other + by), between(one, one), between(other, other)) for by in (0, 1, 2)}
    assert abs(found[0]) < 0.05 and 0.2 < found[1] < found[2]


def test_the_excess_leaves_out_pairs_with_equal_seeds(benchmark):
    tables = benchmark("compact_tables")
    across, inside = np.array([[9.0, 3.0], [5.0, 9.0]]), np.array([[0.0, 2.0], [2.0, 0.0]])
    assert tables.apart(across) == 4 and tables.excess(across, inside, 2 * inside) == 1


def test_the_interval_of_a_mean_is_that_of_student(benchmark):
    tables, values = benchmark("compact_tables"), np.array([1.0, 2.0, 4.0, 9.0])
    mean, half = tables.interval(values)
    low, high = t.interval(0.95, 3, loc=values.mean(), scale=values.std(ddof=1) / 2)
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_the_jackknife_interval_of_an_additive_distance_is_that_of_its_mean(benchmark):
    """If each seed adds its own term, d(s, t) = v_s + v_t, the mean over pairs is 2 mean(v)."""
    tables, values = benchmark("compact_tables"), np.array([1.0, 2.0, 4.0, 9.0])
    found = tables.jackknifed(tables.apart, [np.add.outer(values, values)])
    assert found == pytest.approx(tables.interval(2 * values))


def test_the_tables_have_every_kind_and_pair(benchmark):
    tables, draw = benchmark("compact_tables"), np.random.default_rng(2)
    pairs = [*((kind, kind) for kind in tables.KINDS), *tables.PAIRS]
    table = tables.distance_table({"JS others": {pair: draw.random((4, 4)) for pair in pairs}})
    names = {", ".join(pair) for pair in pairs}
    assert names | {f"{', '.join(p)}: {w}" for p in tables.PAIRS for w in ("excess", "same seed")} == set(
        table["models"]
    )
    values = {kind: {key: at + draw.random(4) for key in tables.COLUMNS} for at, kind in enumerate(tables.KINDS)}
    told = tables.value_table(values).set_index("models")
    difference = np.mean(values["compact"]["NDCG@10"] - values["masked"]["NDCG@10"])
    assert told.loc["compact - masked, paired by seed", "NDCG@10"].startswith(f"{difference:.4f} [")
    assert told.loc["anew", "NDCG@10"] == "" != told.loc["anew", "NDCG@10, others"]
