"""Coupled, excess and coupling: from made records, whose distances are known."""

import math

import pytest
from made_records import record, row

from recbole.report.columns import JS_OTHERS
from recbole.report.lines import columns_of, lines_of
from recbole.report.seeds import OTHER_SEED, over_seeds
from recbole.report.verdict import verdict


def made(seed, others, base=(0.1, 0.4), unlearned=(0.05, 0.33), retrained=0.3, **about):
    """Return the record of a seed: of each kind the distance from its own retrained model, and from each other one."""
    distances = {"base": base, "unlearned": unlearned, "retrained": (None, retrained)}
    rows = []
    for kind, (own, apart) in distances.items():
        named = [(f"r{seed}.pth sha256:0", own)] + [(f"r{other}.pth sha256:0", apart) for other in others]
        of = about | {"settings": f"damping_0.5 {seed}bbb"} if kind == "unlearned" else about
        rows += [
            row(JS_OTHERS, value, kind, reference=name, seed=seed, **of) for name, value in named if value is not None
        ]
    scenario = "fraction_0.001_horror" if seed == 2 else "fraction_0.001_forget_seed_2_horror"
    rows = [one | {"scenario": scenario} for one in rows]
    return record({}, rows=rows, seed=seed) | {"other_seeds": {f"r{other}.pth sha256:0": other for other in others}}


def values(found, model):
    line = found.table[found.table["model"] == model].iloc[0]
    return [line[name] for name in ("seeds", "coupled", "excess", "coupling")]


def test_the_columns():
    found = over_seeds([made(2, [3, 5]), made(3, [2, 5], base=(0.2, 0.6), unlearned=(0.15, 0.41), retrained=0.4)])
    assert found.table["distance"].unique().tolist() == ["JS others"]
    assert found.table["settings"].unique().tolist() == ["damping_0.5"]
    assert found.table["scenario"].unique().tolist() == ["fraction_0.001_horror"]
    assert values(found, "base") == pytest.approx([2, 0.15, (0.1 + 0.2) / 2, 1 - 0.15 / 0.5])
    assert values(found, "unlearned")[:3] == pytest.approx([2, 0.1, (0.03 + 0.01) / 2])
    assert values(found, OTHER_SEED)[:3] == pytest.approx([2, 0.35, 0])
    assert found.notes == []
    assert "significan" not in found.legend


def test_a_perfect_one_has_no_excess():
    found = over_seeds([made(2, [3], unlearned=(0.0, 0.3))])
    assert values(found, "unlearned")[:3] == [1, 0.0, 0.0]


def test_little_coupling_is_said():
    found = over_seeds([made(2, [3], base=(0.3, 0.4))])
    assert len(found.notes) == 1
    assert "coupling is 0.25, below 0.5: the coupled column is mostly training's chaos" in found.notes[0]


def test_excess_is_of_the_pairs_that_both_were_measured_for():
    one = made(2, [3, 5])
    one["metrics"] = [r for r in one["metrics"] if (r["model"], r["reference"]) != ("retrained", "r5.pth sha256:0")]
    for r in one["metrics"]:
        if (r["model"], r["reference"]) == ("unlearned", "r5.pth sha256:0"):
            r["value"] = 9.0
    assert values(over_seeds([one]), "unlearned")[2] == pytest.approx(0.03)


def test_other_forget_sets_algorithms_and_settings_stand_apart():
    other = made(3, [2])
    assert over_seeds([made(2, [3]), other]).table["seeds"].tolist() == [2, 2, 2]
    apart = other | {"mask": {"forget_set_sha256": "0" * 64}}
    assert over_seeds([made(2, [3]), apart]).table["seeds"].tolist() == [1] * 6
    rows = [one | ({"algorithm": "gif"} if one["model"] == "unlearned" else {}) for one in other["metrics"]]
    assert over_seeds([made(2, [3]), other | {"metrics": rows}]).table["seeds"].tolist() == [1] * 6


def test_without_other_seeds_there_is_no_such_table():
    assert over_seeds([record()]) is None


def test_distances_from_other_seeds_are_in_no_other_table_and_no_verdict():
    one = made(2, [3])
    lines = {line.about["model"]: line for line in lines_of(one, "run", columns_of(one, 10))}
    assert lines["unlearned"].values["JS others"] == 0.05
    assert "retrained" not in lines and math.isnan(lines["base"].values["NDCG@10"])
    assert verdict(one) == verdict(one | {"metrics": [r for r in one["metrics"] if "r2" in r["reference"]]})
