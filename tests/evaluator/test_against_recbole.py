"""Metrics equal those of RecBole 1.2.1 up to 1e-6; the expected values are outputs of RecBole's own evaluator.

RecBole's ``Collector`` and ``Evaluator`` computed them once, with 12 decimals, from the scores, positive items,
candidates, labels and training counts that :func:`made` generates.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recbole.data import EvalRows, Interaction, Ragged
from recbole.data.questions import Labelled
from recbole.evaluator import mean_utility

N_ITEMS, COUNT = 15, 4
OF_LISTS = ["ItemCoverage", "AveragePopularity", "ShannonEntropy", "GiniIndex", "TailPercentage"]
RANKING = ["Recall", "MRR", "NDCG", "Hit", "Precision", "MAP", *OF_LISTS]
OF_VALUES = ["AUC", "LogLoss", "MAE", "RMSE"]

FULL = {
    **{"recall": (0.354166666667, 0.395833333333), "mrr": (0.458333333333, 0.483333333333)},
    **{"ndcg": (0.312768338492, 0.335461062559), "hit": (0.625, 0.75), "precision": (0.208333333333, 0.15)},
    **{"map": (0.229166666667, 0.2375), "itemcoverage": (0.8, 0.933333333333), "averagepopularity": (2.5, 2.55)},
    **{"shannonentropy": (0.198628364397, 0.181052228042), "giniindex": (0.394444444444, 0.296666666667)},
    "tailpercentage": (0.041666666667, 0.075),
}
SAMPLED = {
    **{"recall": (0.291666666667, 0.479166666667), "mrr": (0.4375, 0.520833333333)},
    **{"ndcg": (0.308796416483, 0.391634557688), "hit": (0.5, 0.75), "precision": (0.25, 0.25)},
    **{"map": (0.25, 0.291666666667), "itemcoverage": (0.666666666667, 0.866666666667)},
    **{"averagepopularity": (2.4375, 2.541666666667), "shannonentropy": (0.222002532783, 0.18888160699)},
    **{"giniindex": (0.475, 0.35), "tailpercentage": (0.0625, 0.083333333333)},
}
SAMPLED_VALUES = {"auc": 0.467993079585, "logloss": 3.200115552684, "mae": 0.51294118166, "rmse": 0.590911555535}
LABELLED = {"auc": 0.479166666667, "logloss": 4.70967739354, "mae": 0.494117677212, "rmse": 0.592104916614}


def made():
    """Return scores, positive items, histories, four sampled items for each positive, training items and labels."""
    rng = np.random.default_rng(7)
    scores = rng.random((8, N_ITEMS)).astype(np.float32)
    right, history, drawn = [], [], []
    for _ in range(8):
        items = rng.permutation(np.arange(1, N_ITEMS))
        n = int(rng.integers(1, 4))
        right.append(items[:n].tolist())
        history.append(items[n : n + 3].tolist())
        drawn.append(rng.choice(items[n + 3 :], (n, COUNT)).ravel().tolist())
    counts = np.arange(1, 14) % 5 + 1
    training = np.concatenate([np.repeat(np.arange(1, 14), counts), np.repeat(3, 4)])
    labels = [(np.arange(len(row)) + at) % 2 == 0 for at, row in enumerate(right)]
    return scores, right, history, drawn, training, np.concatenate(labels)


def ragged(lists):
    return Ragged(np.array([i for row in lists for i in row], dtype=np.int64), np.cumsum([0, *map(len, lists)]))


class Fixed:
    """A model with given scores."""

    n_items = N_ITEMS

    def __init__(self, scores):
        self.scores = torch.from_numpy(scores)

    def eval(self):
        return self

    def parameters(self):
        return iter([self.scores])

    def full_sort_predict(self, interaction):
        """Return the users' scores."""
        return self.scores[interaction["user"]]


class Given:
    """A sampler that returns given candidates."""

    count = COUNT

    def __init__(self, drawn):
        self.drawn = ragged(drawn)

    def draw(self, rows, start, stop):
        """Return the candidates of the rows ``start`` to ``stop``."""
        some = self.drawn.take(rows.entity[start:stop])
        return np.repeat(np.arange(stop - start), some.sizes()), some.values


def found(metrics, mode, topk=(3, 5), tied=False, batch=4096, **more):
    scores, right, history, drawn, training, labels = made()
    data = SimpleNamespace(log=SimpleNamespace(item=training), train_rows=np.arange(len(training)), n_items=N_ITEMS)
    rows = EvalRows(
        Interaction({"user": np.arange(8)}), np.arange(8), ragged(right), ragged(history), 0, training=data,
        sampled=Given(drawn) if mode == "sampled" else None,
        labelled=Labelled(ragged(right), labels) if mode == "labelled" else None,
    )  # fmt: skip
    settings = {"metrics": metrics, "topk": list(topk), "eval_batch_size": batch, **more}
    return mean_utility(Fixed(scores.round(1) if tied else scores), rows, settings)


def by_length(values, topk):
    return {f"{name}@{k}": value for name, pair in values.items() for k, value in zip(topk, pair, strict=True)}


@pytest.mark.parametrize("batch", [4096, 3])
def test_full_ranking(batch):
    assert found(RANKING, "full", batch=batch) == pytest.approx(by_length(FULL, (3, 5)), abs=1e-6)


def test_sampled_candidates():
    assert found(RANKING, "sampled", (2, 3)) == pytest.approx(by_length(SAMPLED, (2, 3)), abs=1e-6)


@pytest.mark.parametrize(("mode", "expected"), [("full", 0.4400326907634735), ("sampled", 0.4376050531864166)])
@pytest.mark.parametrize("batch", [4096, 3])
def test_gauc_with_many_ties(mode, expected, batch):
    assert found(["GAUC"], mode, tied=True, batch=batch) == pytest.approx({"gauc": expected}, abs=1e-6)


@pytest.mark.parametrize(("mode", "expected"), [("sampled", SAMPLED_VALUES), ("labelled", LABELLED)])
@pytest.mark.parametrize("batch", [4096, 3])
def test_scores_against_labels(mode, expected, batch):
    assert found(OF_VALUES, mode, tied=True, batch=batch) == pytest.approx(expected, abs=1e-6)


def test_the_tail_by_fraction_and_by_count():
    of = {"tailpercentage@3": 0.666666666667, "tailpercentage@5": 0.6}
    assert found(["TailPercentage"], "full", tail_ratio=3) == pytest.approx(of, abs=1e-6)
    of = {"tailpercentage@3": 0.583333333333, "tailpercentage@5": 0.525}
    assert found(["TailPercentage"], "full", tail_ratio=0.5) == pytest.approx(of, abs=1e-6)
