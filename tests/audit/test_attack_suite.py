"""Attackers find what is there, and nothing else; what reads the wrong way round is turned."""

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
    group = np.random.default_rng(seed).permutation(np.arange(N) % (groups + 1)) % groups
    names = tuple("abcd"[:groups])
    return People(group, np.ones(N, dtype=bool) if protected is None else protected, names)


def vectors(seed=0, d=8):
    return np.random.default_rng(100 + seed).normal(size=(N, d))


def equalised(matrix, group, where):
    """Move the people of each group among ``where`` so that their mean is zero."""
    moved = matrix.copy()
    for one in np.unique(group):
        rows = where & (group == one)
        moved[rows] -= moved[rows].mean(axis=0)
    return moved


def aucs(rows):
    return {(row["view"], row["population"]): row for row in rows if row["metric"] == "attack_auc"}


def inside(matrix, who, **settings):
    return aucs(attack({"table": Features(matrix)}, who, AttackSettings(("inside",), **{"folds": 3} | settings)))


@pytest.mark.parametrize(("groups", "choose"), [(2, True), (3, False)])
def test_what_can_be_separated_is_found_by_all(groups, choose):
    who = people(groups=groups)
    matrix = vectors()
    matrix[:, 0] += 4 * who.group
    rows = inside(matrix, who, seeds=1, folds=2, choose=choose)
    chosen = {"worst", "adaptive"} if choose else set()
    assert {population.removeprefix("inside/") for _, population in rows} == {*USUAL, *chosen}
    assert min(row["value"] for row in rows.values()) > 0.9
    assert all(row["low"] <= row["value"] <= row["high"] and row["n_people"] == row["n_rows"] for row in rows.values())


def test_nothing_is_found_in_random_vectors():
    rows = [
        inside(vectors(seed), people(seed), attackers=("logistic", "trees"), seeds=1, choose=False) for seed in range(6)
    ]
    for attacker in ("logistic", "trees"):
        assert abs(np.mean([row["table", f"inside/{attacker}"]["value"] for row in rows]) - 0.5) < 0.07


def test_what_nothing_looks_like_is_told_by_shuffled_groups():
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


def test_equal_means_read_the_wrong_way_round_inside_and_not_at_all_from_outside():
    """The control of anti-learning: groups that mean nothing, their means made equal among the protected people."""
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


def test_whoever_knows_the_method_turns_the_sign():
    who = people()
    moved = equalised(vectors(d=16), who.group, who.protected)
    rows = inside(moved, who, attackers=("logistic",), seeds=3, folds=5)
    assert rows["table", "inside/logistic"]["high"] < 0.5
    assert rows["any", "inside/worst"]["value"] == rows["table", "inside/logistic"]["value"]
    assert rows["any", "inside/adaptive"]["low"] > 0.5


def test_spikes_that_weak_attackers_miss_are_found_by_trees():
    """Everybody in one point but for an offset of the group: nothing to an MLP on the columns as they are."""
    who, draw = people(), np.random.default_rng(5)
    collapsed = 0.1 + 1e-8 * draw.normal(size=(N, 8)) + 1e-7 * (who.group[:, None] - 0.5) * draw.choice([-1, 1], 8)
    rows = inside(collapsed, who, seeds=1)
    assert rows["table", "inside/mlp"]["value"] < 0.9
    assert rows["table", "inside/trees"]["value"] > 0.97 and rows["table", "inside/logistic"]["value"] > 0.97
    assert rows["any", "inside/worst"]["value"] > 0.97


def test_the_worst_is_chosen_by_whom_it_knows():
    """Of many views without anything in them the best of the test is better than the one that inner folds choose."""
    views = {f"view {seed}": Features(vectors(seed)) for seed in range(5)}
    rows = aucs(attack(views, people(), AttackSettings(("inside",), ("logistic",), seeds=1)))
    worst = rows["any", "inside/worst"]["value"]
    assert worst < max(row["value"] for (view, _), row in rows.items() if view != "any")


def test_insiders_know_more_the_larger_their_share():
    who = people()
    matrix = vectors()
    matrix[:, :2] += who.group[:, None]
    protocols = ("insider_10", "insider_25", "insider_50")
    rows = aucs(attack({"table": Features(matrix)}, who, AttackSettings(protocols, ("logistic",), seeds=3)))
    values = [rows["table", f"{protocol}/logistic"]["value"] for protocol in protocols]
    assert 0.6 < values[0] < values[2]


def test_who_is_protected_is_read_of_what_protection_does():
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


def test_all_can_take_part_and_small_groups_count_as_much():
    who = people()
    matrix = vectors()
    matrix[:, 0] += 4 * who.group
    settings = AttackSettings(("inside",), seeds=1, folds=2, balanced=False, choose=False)
    rows = attack({"table": Features(matrix)}, who, settings)
    assert {row["n_people"] for row in rows} == {N}
    assert min(row["value"] for row in rows if row["metric"] == "attack_balanced_accuracy") > 0.85


def test_the_same_seeds_give_the_same_bits():
    who = people()
    one, other = (inside(vectors(), who, seeds=1, folds=2, choose=False) for _ in range(2))
    assert one == other and len(one) == 3


def test_what_is_wide_is_read_wide_by_logistic_regression():
    from scipy.sparse import csr_array

    who = people()
    wide = csr_array(np.eye(3)[who.group].repeat(20, axis=1) * (vectors(d=60) > 0))
    known, read_ = np.arange(N // 2), np.arange(N // 2, N)
    scores = read("logistic", Features(np.zeros((N, 1)), wide), known, who.group[known], read_, 0)
    assert (scores.argmax(axis=1) == who.group[read_]).mean() > 0.99
    few = reduced(wide, 5)
    assert few.shape == (N, 5)
    np.testing.assert_allclose(few.T @ few, np.diag(np.diag(few.T @ few)), atol=1e-6)


def test_a_package_that_is_missing_is_named(monkeypatch):
    check_installed()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else find(name))
    with pytest.raises(UserError, match=r"pip install scikit-learn .*\[attack\]"):
        check_installed()
