"""The summary over seeds, from hand-made records with known distances and values."""

import itertools
import math

import numpy as np
import pytest
from made_records import record, row

from recbole.report.closeness import OTHER_SEED
from recbole.report.columns import DISTANCES, FORGOTTEN_PAIRS, JS_OTHERS, NDCG
from recbole.report.lines import columns_of, lines_of
from recbole.report.seeds import COLUMNS, over_seeds
from recbole.report.seeds_told import LEGEND, tables
from recbole.report.t_intervals import t_interval
from recbole.report.verdict import verdict

SEEDS = (2, 3, 5)


def name_of(seed):
    return f"r{seed}.pth sha256:0"


def scenario_of(seed):
    return "fraction_0.001_horror" if seed == 2 else "fraction_0.001_forget_seed_2_horror"


def made(seed, others, base=(0.1, 0.4), unlearned=(0.05, 0.33), retrained=0.3, **about):
    """Return the record of a seed, with distances from its own retrained model and from those of other seeds."""
    distances = {"base": base, "unlearned": unlearned, "retrained": (None, retrained)}
    rows = []
    for kind, (own, apart) in distances.items():
        named = [(name_of(seed), own)] + [(name_of(other), apart) for other in others]
        of = about | {"settings": f"damping_0.5 {seed}bbb"} if kind == "unlearned" else about
        rows += [
            row(JS_OTHERS, value, kind, reference=name, seed=seed, **of) for name, value in named if value is not None
        ]
    rows = [one | {"scenario": scenario_of(seed)} for one in rows]
    return record({}, rows=rows, seed=seed) | {"other_seeds": {name_of(other): other for other in others}}


def drawn(seed, kinds=("base", "unlearned", "retrained"), wanted=JS_OTHERS, draw=None):
    """Return a record of a seed with random distances of each kind from the retrained models of all `SEEDS`."""
    draw = np.random.default_rng(seed) if draw is None else draw
    pairs = [(kind, other) for kind in kinds for other in SEEDS if (kind, other) != ("retrained", seed)]
    rows = [
        row(wanted, float(draw.uniform()), kind, reference=name_of(other), seed=seed, scenario=scenario_of(seed))
        for kind, other in pairs
    ]
    others = {name_of(other): other for other in SEEDS if other != seed}
    return record({}, rows=rows, seed=seed) | {"other_seeds": others}


def told(found, model, quantity, measure="JS others"):
    """Return (seeds, mean, low, high) of a quantity; None if it is missing."""
    table = found.table
    chosen = table[(table["model"] == model) & (table["quantity"] == quantity) & (table["measure"] == measure)]
    assert len(chosen) <= 1
    return tuple(chosen.iloc[0][["seeds", "mean", "low", "high"]]) if len(chosen) else None


def mean(found, model, quantity, measure="JS others"):
    return told(found, model, quantity, measure)[1]


def test_the_quantities():
    found = over_seeds([made(2, [3, 5]), made(3, [2, 5], base=(0.2, 0.6), unlearned=(0.15, 0.41), retrained=0.4)])
    assert tuple(found.table) == COLUMNS
    assert found.table["measure"].unique().tolist() == ["JS others"]
    assert found.table["settings"].unique().tolist() == ["damping_0.5"]
    assert found.table["scenario"].unique().tolist() == ["fraction_0.001_forget_seed_2_horror"]
    assert told(found, "base", "coupled") == pytest.approx((2, 0.15, *t_interval([0.1, 0.2])))
    assert told(found, "base", "excess") == pytest.approx((2, 0.15, *t_interval([0.1, 0.2])))
    assert told(found, "base", "coupling")[:2] == pytest.approx((2, 1 - 0.15 / 0.5))
    assert told(found, "unlearned", "coupled") == pytest.approx((2, 0.1, *t_interval([0.05, 0.15])))
    assert told(found, "unlearned", "excess") == pytest.approx((2, 0.02, *t_interval([0.03, 0.01])))
    assert told(found, "unlearned", "coupling") is None
    for quantity, value in (("coupled", 0.35), ("excess", 0)):
        seeds, found_value, low, high = told(found, OTHER_SEED, quantity)
        assert (seeds, found_value) == (2, pytest.approx(value)) and math.isnan(low) and math.isnan(high)
    assert found.notes == []
    assert "significan" not in LEGEND + "".join(tables(found.table))


@pytest.mark.parametrize("heading", list(DISTANCES))
def test_excess_of_three_seeds_by_brute_force(heading):
    """Similarities are turned into distances; a rebuilt model is measured as others are."""
    wanted, kinds = DISTANCES[heading], ("base", "rebuilt", "unlearned", "retrained")
    records = [drawn(seed, kinds, wanted) for seed in SEEDS]
    turned = wanted["metric"] in ("jaccard", "rank_biased_overlap")
    d = {}
    for one in records:
        for r in one["metrics"]:
            value = 1 - r["value"] if turned else r["value"]
            d[r["model"], one["seed"], int(r["reference"][1])] = value
    found = over_seeds(records)
    for kind in kinds[:-1]:
        each = []
        for s in SEEDS:
            others = [t for t in SEEDS if t != s]
            each.append(sum(d[kind, s, t] - d["retrained", s, t] for t in others) / 2)
        assert told(found, kind, "excess", heading) == pytest.approx((3, sum(each) / 3, *t_interval(each)))
        own = [d[kind, s, s] for s in SEEDS]
        assert told(found, kind, "coupled", heading) == pytest.approx((3, sum(own) / 3, *t_interval(own)))
    apart = np.mean([d["base", s, t] for s, t in itertools.permutations(SEEDS, 2)])
    together = np.mean([d["base", s, s] for s in SEEDS])
    assert mean(found, "base", "coupling", heading) == pytest.approx(1 - together / apart)


def test_a_perfect_one_has_no_excess():
    found = over_seeds([made(2, [3], unlearned=(0.0, 0.3))])
    assert told(found, "unlearned", "coupled")[:2] == (1, 0.0)
    assert told(found, "unlearned", "excess")[:2] == (1, 0.0)
    assert found.table[["low", "high"]].isna().all(axis=None), "no interval of one seed"


def test_little_coupling_is_said():
    found = over_seeds([made(2, [3], base=(0.3, 0.4))])
    assert len(found.notes) == 1
    assert "coupling is 0.25 (JS others), below 0.5: the column coupled shows mostly randomness" in found.notes[0]
    assert over_seeds([made(2, [3], base=(0.3, 0.4), retrained=0.1)]).notes == [], "it is what was forgotten"


def test_excess_is_of_the_pairs_that_both_were_measured_for():
    one = made(2, [3, 5])
    one["metrics"] = [r for r in one["metrics"] if (r["model"], r["reference"]) != ("retrained", name_of(5))]
    for r in one["metrics"]:
        if (r["model"], r["reference"]) == ("unlearned", name_of(5)):
            r["value"] = 9.0
    assert mean(over_seeds([one]), "unlearned", "excess") == pytest.approx(0.03)


# --- the base's epoch -------------------------------------------------------------------------------------------------
def at_epochs(one, base, retrained, same=None):
    """Return a record with selected epochs and, if given, the distances at the base's epoch."""
    seed, rows = one["seed"], list(one["metrics"])
    if same is not None:
        of = {"reference": f"r{seed}_same_epoch.pth sha256:1", "seed": seed, "scenario": scenario_of(seed)}
        of["settings"] = f"damping_0.5 {seed}bbb"
        rows = [row(JS_OTHERS, same, kind, **of) for kind in ("base", "unlearned")] + rows
    references = {} if same is None else {f"r{seed}_same_epoch.pth sha256:1": 3}
    epochs = {"base": base, "retrained": {"3": retrained}}
    return one | {"metrics": rows, "selected_epochs": epochs, "same_epoch": references}


@pytest.mark.parametrize(("base", "retrained", "there"), [
    (9, 7, False), (9, 6, True), (9, 11, False), (9, 12, True), (9, 9, False), (0, 1, True), (None, 4, False),
])  # fmt: skip
def test_the_same_epoch_is_told_where_epochs_differ_by_more_than_a_fifth(base, retrained, there):
    """Ten epochs are a tenth epoch with number nine."""
    same = None if base == retrained else 0.02
    found = over_seeds([at_epochs(made(2, [3]), base, retrained, same), at_epochs(made(3, [2]), 9, 9)])
    assert mean(found, "unlearned", "coupled") == pytest.approx(0.05), "whatever else was measured"
    (text, *_), column = tables(found.table), "coupled, same epoch"
    assert (column in text) == there == any(column in note for note in found.notes)
    if there:
        assert told(found, "unlearned", column) == pytest.approx((2, 0.035, *t_interval([0.02, 0.05])))
        assert f"by more than a fifth: {base} and {retrained} (seed 2); " in found.notes[0]
        assert " of 2 seeds" not in found.notes[0]


def test_where_the_same_epoch_was_not_measured_that_is_said():
    found = over_seeds([at_epochs(made(2, [3]), 50, 9), at_epochs(made(3, [2]), 9, 9)])
    assert told(found, "base", "coupled, same epoch")[:2] == (1, 0.1)
    assert found.notes[0].endswith("the base's epoch, known for 1 of 2 seeds")


# --- values -----------------------------------------------------------------------------------------------------------
def with_values(seed, values, algorithm="scif"):
    """Return a record of NDCG@10 and log-odds by kind of model, at two checkpoints."""
    odds = FORGOTTEN_PAIRS["forgotten log-odds"]
    rows = [
        row(wanted, value - (3 - checkpoint), kind, checkpoint, seed=seed, scenario=scenario_of(seed), reference=None,
            **({"algorithm": algorithm} if kind == "unlearned" else {}))
        for kind, pair in values.items()
        for wanted, value in zip((NDCG, odds), pair, strict=True)
        for checkpoint in (2, 3)
    ]  # fmt: skip
    return record({}, rows=rows, seed=seed)


VALUES = {
    2: {"base": (0.5, 3.0), "unlearned": (0.45, 1.0), "retrained": (0.4, 0.5)},
    3: {"base": (0.6, 2.0), "unlearned": (0.65, 1.5), "retrained": (0.5, 0.25)},
    5: {"base": (0.7, 4.0), "unlearned": (0.60, 1.0)},
}


def test_values_and_differences_within_each_seed():
    found = over_seeds([with_values(seed, values) for seed, values in VALUES.items()])
    for heading, at in (("NDCG@10", 0), ("forgotten log-odds", 1)):
        of = {kind: {s: v[kind][at] for s, v in VALUES.items() if kind in v} for kind in VALUES[2]}
        for kind, other in itertools.permutations(of, 2):
            if other == "unlearned":
                continue
            differences = [of[kind][s] - of[other][s] for s in SEEDS if s in of[kind] and s in of[other]]
            chosen = found.table[found.table["checkpoint"] == 3]
            line = chosen[(chosen["model"] == kind) & (chosen["measure"] == heading)].set_index("quantity")
            assert line.loc[f"minus {other}", "seeds"] == len(differences)
            assert line.loc[f"minus {other}", ["mean", "low", "high"]].tolist() == pytest.approx(
                [np.mean(differences), *t_interval(differences)]
            )
            values = list(of[kind].values())
            assert line.loc["value", ["mean", "low", "high"]].tolist() == pytest.approx(
                [np.mean(values), *t_interval(values)]
            )
    assert set(found.table["checkpoint"]) == {2, 3}
    (text,) = tables(found.table)
    assert "checkpoint 3" in text and "0.6 [0.3516, 0.8484]" in text, "people see the last checkpoint"


def test_models_of_no_algorithm_stand_there_once():
    records = [with_values(seed, VALUES[seed], algorithm) for algorithm in ("scif", "gif") for seed in (2, 3)]
    (text,) = tables(over_seeds(records).table)
    of_ndcg = [line.split() for line in text.splitlines() if "NDCG@10" in line]
    assert [line[0] if line[0] in ("scif", "gif") else line[1] for line in of_ndcg] == [
        "base",
        "scif",
        "gif",
        "retrained",
    ]


# --- grouping --------------------------------------------------------------------------------------------
def test_other_forget_sets_algorithms_and_settings_stand_apart():
    other = made(3, [2])
    assert set(over_seeds([made(2, [3]), other]).table["seeds"]) == {2}
    apart = over_seeds([made(2, [3]), other | {"mask": {"forget_set_sha256": "0" * 64}}])
    assert set(apart.table["seeds"]) == {1}
    assert apart.notes == [
        "ml-100k, BPR, scif: seeds 2, 3 have different forget sets and are not combined; --forget_set_seed uses the "
        "same forget set with all seeds"
    ]
    rows = [one | ({"algorithm": "gif"} if one["model"] == "unlearned" else {}) for one in other["metrics"]]
    found = over_seeds([made(2, [3]), other | {"metrics": rows}])
    assert set(found.table["seeds"]) == {1} and found.notes == []


def test_one_seed_says_nothing_over_seeds():
    assert over_seeds([record()]) is None


def test_two_seeds_without_others_have_no_excess():
    found = over_seeds([made(2, []), made(3, [])])
    assert told(found, "base", "coupled")[:2] == (2, 0.1)
    assert set(found.table["quantity"]) == {"coupled"}


def test_distances_from_other_retrained_models_are_in_no_other_table_and_no_verdict():
    one = at_epochs(made(2, [3]), 50, 9, same=0.9)
    lines = {line.about["model"]: line for line in lines_of(one, "run", columns_of(one, 10))}
    assert lines["unlearned"].values["JS others"] == 0.05
    assert "retrained" not in lines and math.isnan(lines["base"].values["NDCG@10"])
    assert verdict(one) == verdict(one | {"metrics": [r for r in one["metrics"] if r["reference"] == name_of(2)]})
