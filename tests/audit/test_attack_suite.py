"""Attacks on user attributes find a signal, find nothing in random vectors, and correct inverted scores."""

import importlib.util

import numpy as np
import pytest

pytest.importorskip("sklearn")

from recbole.audit.attack import AttackSettings, attack, shuffled
from recbole.audit.attackers import USUAL, Features, check_installed, read
from recbole.audit.features import reduced
from recbole.audit.protocols import People
from recbole.utils import UserError

N = 240


def people(seed=0, groups=2, protected=None):
    """Return N users in random groups; by default all of them are protected."""
    group = np.random.default_rng(seed).permutation(np.arange(N) % (groups + 1)) % groups
    names = tuple("abcd"[:groups])
    return People(group, np.ones(N, dtype=bool) if protected is None else protected, names)


def vectors(seed=0, d=8):
    """Return random vectors of N users, float64 [N, d]."""
    return np.random.default_rng(100 + seed).normal(size=(N, d))


def equalised(matrix, group, where):
    """Shift the vectors of each group among the users in ``where`` (bool [N]) so that their mean is zero."""
    moved = matrix.copy()
    for one in np.unique(group):
        rows = where & (group == one)
        moved[rows] -= moved[rows].mean(axis=0)
    return moved


def aucs(rows):
    """Return ``{(view, population): row}`` of the rows for the metric ``attack_auc``."""
    return {(row["view"], row["population"]): row for row in rows if row["metric"] == "attack_auc"}


def inside(matrix, who, **settings):
    """Run the protocol ``inside`` on one view called ``table``; return its AUC rows as :func:`aucs` does."""
    return aucs(attack({"table": Features(matrix)}, who, AttackSettings(("inside",), **{"folds": 3} | settings)))


@pytest.mark.parametrize(("groups", "choose"), [(2, True), (3, False)])
def test_every_attacker_separates_groups_that_are_far_apart(groups, choose):
    who = people(groups=groups)
    matrix = vectors()
    matrix[:, 0] += 4 * who.group
    rows = inside(matrix, who, seeds=1, folds=2, choose=choose)
    chosen = {"worst", "adaptive"} if choose else set()
    assert {population.removeprefix("inside/") for _, population in rows} == {*USUAL, *chosen}
    assert min(row["value"] for row in rows.values()) > 0.9
    assert all(row["low"] <= row["value"] <= row["high"] and row["n_people"] == row["n_rows"] for row in rows.values())


def test_random_vectors_give_an_auc_of_one_half():
    rows = [
        inside(vectors(seed), people(seed), attackers=("logistic", "trees"), seeds=1, choose=False) for seed in range(6)
    ]
    for attacker in ("logistic", "trees"):
        assert abs(np.mean([row["table", f"inside/{attacker}"]["value"] for row in rows]) - 0.5) < 0.07


def test_shuffled_groups_give_the_range_of_auc_without_a_signal():
    settings, views = AttackSettings(seeds=1, folds=3), {"table": Features(vectors())}
    nothing = aucs(shuffled(views, people(), settings, 20))
    assert {population: row["n_rows"] for (_, population), row in nothing.items()} == {
        "inside/logistic/shuffled": 20,
        "inside/trees/shuffled": 2,
        "inside/mlp/shuffled": 2,
    }
    row = nothing["table", "inside/logistic/shuffled"]
    assert row["low"] < 0.45 < row["value"] < 0.55 < row["high"]
    found = inside(vectors(), people(), attackers=("logistic",), seeds=1, choose=False)["table", "inside/logistic"]
    assert row["low"] <= found["value"] <= row["high"]


def test_equal_group_means_give_an_auc_below_one_half_inside_and_one_half_outside():
    """Groups are random, and their means are made equal among the protected users.

    In cross-validation a linear attacker then predicts the wrong group (anti-learning).
    """
    values = []
    for seed in range(4):
        protected = np.random.default_rng(seed).random(N) < 0.6
        who = people(seed, protected=protected)
        moved = equalised(vectors(seed), who.group, protected)
        settings = AttackSettings(("inside", "outside", "outside_reversed"), ("logistic",), seeds=1)
        rows = aucs(attack({"table": Features(moved)}, who, settings))
        names = ("inside/logistic", "outside/logistic", "outside_reversed/logistic")
        values.append([rows["table", name]["value"] for name in names])
    inside_, outside, reverse = np.mean(values, axis=0)
    assert inside_ < 0.42 and abs(outside - 0.5) < 0.06 and abs(reverse - 0.5) < 0.06


def test_the_adaptive_attacker_inverts_scores_below_one_half():
    who = people()
    moved = equalised(vectors(d=16), who.group, who.protected)
    rows = inside(moved, who, attackers=("logistic",), seeds=3, folds=5)
    assert rows["table", "inside/logistic"]["high"] < 0.5
    assert rows["any", "inside/worst"]["value"] == rows["table", "inside/logistic"]["value"]
    assert rows["any", "inside/adaptive"]["low"] > 0.5


def test_trees_find_group_offsets_that_an_mlp_misses():
    """All users are in nearly the same point except for a tiny offset of the group, which the MLP does not see."""
    who, draw = people(), np.random.default_rng(5)
    collapsed = 0.1 + 1e-8 * draw.normal(size=(N, 8)) + 1e-7 * (who.group[:, None] - 0.5) * draw.choice([-1, 1], 8)
    rows = inside(collapsed, who, seeds=1)
    assert rows["table", "inside/mlp"]["value"] < 0.9
    assert rows["table", "inside/trees"]["value"] > 0.97 and rows["table", "inside/logistic"]["value"] > 0.97
    assert rows["any", "inside/worst"]["value"] > 0.97


def test_the_worst_attacker_is_selected_on_known_users_only():
    """Of views without any signal, the one selected by inner folds scores below the best one on the test users."""
    views = {f"view {seed}": Features(vectors(seed)) for seed in range(5)}
    rows = aucs(attack(views, people(), AttackSettings(("inside",), ("logistic",), seeds=1)))
    worst = rows["any", "inside/worst"]["value"]
    assert worst < max(row["value"] for (view, _), row in rows.items() if view != "any")


def test_insiders_who_know_more_users_attack_better():
    who = people()
    matrix = vectors()
    matrix[:, :2] += who.group[:, None]
    protocols = ("insider_10", "insider_25", "insider_50")
    rows = aucs(attack({"table": Features(matrix)}, who, AttackSettings(protocols, ("logistic",), seeds=3)))
    values = [rows["table", f"{protocol}/logistic"]["value"] for protocol in protocols]
    assert 0.6 < values[0] < values[2]


def test_protection_reveals_who_is_protected():
    protected = np.random.default_rng(0).random(N) < 0.5
    matrix = vectors()
    matrix[protected] *= 0.1
    rows = aucs(
        attack(
            {"table": Features(matrix)},
            people(protected=protected),
            AttackSettings(("who",), ("trees",), 1, choose=False),
        )
    )
    assert rows["table", "who/trees"]["value"] > 0.9


def test_unbalanced_groups_can_be_attacked_with_balanced_accuracy():
    who = people()
    matrix = vectors()
    matrix[:, 0] += 4 * who.group
    settings = AttackSettings(("inside",), seeds=1, folds=2, balanced=False, choose=False)
    rows = attack({"table": Features(matrix)}, who, settings)
    assert {row["n_people"] for row in rows} == {N}
    assert min(row["value"] for row in rows if row["metric"] == "attack_balanced_accuracy") > 0.85


def test_the_same_seeds_give_identical_rows():
    who = people()
    one, other = (inside(vectors(), who, seeds=1, folds=2, choose=False) for _ in range(2))
    assert one == other and len(one) == 3


def test_logistic_regression_uses_the_unreduced_sparse_features():
    from scipy.sparse import csr_array

    who = people()
    wide = csr_array(np.eye(3)[who.group].repeat(20, axis=1) * (vectors(d=60) > 0))
    known, read_ = np.arange(N // 2), np.arange(N // 2, N)
    scores = read("logistic", Features(np.zeros((N, 1)), wide), known, who.group[known], read_, 0)
    assert (scores.argmax(axis=1) == who.group[read_]).mean() > 0.99
    few = reduced(wide, 5)
    assert few.shape == (N, 5)
    np.testing.assert_allclose(few.T @ few, np.diag(np.diag(few.T @ few)), atol=1e-6)


def test_a_missing_package_is_named(monkeypatch):
    check_installed()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else find(name))
    with pytest.raises(UserError, match=r"pip install scikit-learn .*\[attack\]"):
        check_installed()
