"""`benchmarks/scale.py` and `benchmarks/speed.py`: exponents, tables, limits, stored results, and generated logs."""

import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from recbole.utils import UserError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DONE = {
    "status": "done", "limit": 900, "cpu": 2.0, "wall": 3.0, "peak_mib": 400.0, "measured": "2026-01-02T03:04+00:00",
    "processor": "a processor", "checkout": "abcdef0123", "python": "3.11",
}  # fmt: skip
TIMEOUT = DONE | {"status": "timeout", "cpu": None}
FAILED = DONE | {"status": "failed", "cpu": None, "reason": "no memory"}


@pytest.fixture
def benchmark(monkeypatch):
    """A function: ``benchmark(name)`` imports a script of the benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def scale(benchmark):
    return benchmark("scale")


@pytest.fixture
def measuring(benchmark):
    return benchmark("measuring")


@pytest.fixture
def speed(benchmark):
    return benchmark("speed")


# --- exponents and tables --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "costs, told",
    [
        ((2.0, 20.0), "1.00"),
        ((2.0, 200.0), "2.00"),
        ((3.0, 3.0), "0.00"),
        ((DONE, DONE | {"cpu": 2 * math.sqrt(10)}), "0.50"),
        ((DONE, TIMEOUT), "> 2.65"),
        ((TIMEOUT, DONE), ""),
        ((DONE, FAILED), ""),
        ((0.0, 1.0), ""),
    ],
)
def test_exponent(scale, costs, told):
    assert scale.exponent(costs, (1_000, 10_000)) == told


def table_of(text):
    """Return the lines of a Markdown table as lists of cells."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_table_has_a_line_for_each_part_with_its_limits(scale):
    sizes = scale.SIZES["full"]
    small, large = (shape.name for shape in sizes["CF"])
    results = {
        f"{small} load": DONE, f"{large} load": DONE | {"cpu": 2.0 * (8_700_000 / 800_000) ** 1.5},
        f"{small} reading": DONE | {"cpu": 0.5}, f"{small} parsing": DONE | {"cpu": 1.0},
        f"{small} product of width 64": DONE | {"cpu": 1.0, "multiplications": 1e9},
        f"{small} LightGCN epoch": DONE | {"examples": 640_000, "batches": 10, "items": 5_000},
        f"{small} LightGCN evaluation": DONE,
        f"{small} LightGCN request gif": DONE | {"outcomes": {"applied": 2, "diverged": 1}},
        f"{large} LightGCN request gif": TIMEOUT, f"{large} BPR request scif": FAILED | {"untrained": True},
    }  # fmt: skip
    text = scale.table(results, sizes)
    header, _, *lines = table_of(text)
    assert {len(line) for line in [header, *lines]} == {12}
    load, failed, epoch, evaluation, timeout = lines
    assert load[:8] == ["CF, 800,000 and 8,700,000 rows", "", "load", "2 (3)", "72 (3)", "1.50", "400", "400"]
    assert load[8:] == ["0.00", "0.5 / 1", "/", ""]
    assert failed[1:5] == ["BPR", "request scif", "", "failed: no memory (3)"] and failed[11] == "; failed"
    multiplications = 3 * 640_000 * 2 * 64 + 10 * 2 * 2 * 2 * 640_000 * 64
    assert epoch[2] == "epoch" and epoch[9] == f"{multiplications / 1e9:.2g}"
    assert evaluation[9] == "1"
    assert timeout[2:6] == ["request gif", "2 (3)", "> 900 (3)", "> 1.0".replace("1.0", f"{exponent_of(450):.2f}")]
    assert timeout[11] == "2 applied, 1 diverged; timeout"
    assert "Parts: 8 done, 1 timeout, 1 failed. Measured: 2026-01-02, a processor, commit abcdef0123." in text


def exponent_of(ratio):
    return math.log(ratio) / math.log(8_700_000 / 800_000)


def test_parts_are_measured_in_order(scale):
    args = scale.parse_args(["--folder", "x", "--sizes", "small", "--algorithms", "scif", "gif"])
    found, shapes = scale.parts_of(args)
    assert set(found) == set(shapes) and len(found) == 64
    assert {"cf_2000 load", "sbr_1000 GRU4Rec request gif", "nbr_4000 Sets2Sets evaluation"} <= set(found)
    before = list(found)
    assert before.index("cf_4000 BPR epoch") < before.index("cf_4000 BPR request scif")  # the request uses its weights


# --- limits ----------------------------------------------------------------------------------------------------------
def test_a_part_over_its_limit_is_ended_and_counted(measuring):
    result = measuring.measure({"part": "reading", "file": "/dev/zero", "limit": 1})
    assert (result["status"], result["limit"], measuring.cost(result)) == ("timeout", 1, "> 1")
    assert measuring.counts([DONE, result, FAILED, None]) == "1 done, 1 timeout, 1 failed"


def test_a_command_over_its_limit_is_ended(measuring):
    ended = measuring.run(["sh", "-c", "while :; do :; done"], BENCHMARKS.parent, limit=1)
    assert measuring.outcome(ended, 1)["status"] == "timeout"
    ended = measuring.run(["sh", "-c", "exit 3"], BENCHMARKS.parent, limit=1)
    assert measuring.outcome(ended, 1)["status"] == "failed" and measuring.outcome(ended, 1, (0, 3))["status"] == "done"


def test_a_failed_part_gives_a_reason(measuring, tmp_path):
    result = measuring.measure({"part": "reading", "file": str(tmp_path / "none"), "limit": 9})
    assert result["status"] == "failed" and "No such file" in result["reason"]


# --- stored results --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "kept, limit, measured", [(DONE, 9999, False), (TIMEOUT, 900, False), (TIMEOUT, 901, True), (FAILED, 900, True)]
)
def test_results_are_reused(measuring, tmp_path, kept, limit, measured):
    path = tmp_path / "results.json"
    measuring.Results(path, {"steps": 3}).put("a part", kept)
    assert (measuring.Results(path, {"steps": 3}).get("a part", limit) is None) == measured
    assert measuring.Results(path, {"steps": 3}, again=True).get("a part", limit) is None
    with pytest.raises(UserError, match="--again"):
        measuring.Results(path, {"steps": 4})


def test_the_table_is_written_between_the_markers_of_the_page(measuring, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("one\n<!-- scale: begin -->\nold\n<!-- scale: end -->\ntwo\n")
    for text in ("first", "second\n"):
        measuring.told_in_docs(page, "scale", text)
    assert page.read_text() == "one\n<!-- scale: begin -->\nsecond\n<!-- scale: end -->\ntwo\n"
    with pytest.raises(UserError, match="speed: begin"):
        measuring.told_in_docs(page, "speed", "third")


def test_the_docs_page_has_markers_for_both_tables():
    page = (BENCHMARKS.parent / "docs" / "scale.md").read_text()
    for section in ("scale", "speed"):
        assert page.index(f"<!-- {section}: begin -->") < page.index(f"<!-- {section}: end -->")


# --- logs ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("task", ["CF", "SBR", "NBR"])
def test_logs_depend_on_the_seed_and_are_reused(benchmark, tmp_path, task):
    synthetic = benchmark("synthetic")
    shape = synthetic.SMALL[task][0]
    one, other = (synthetic.furnish(tmp_path / name, shape) for name in "ab")
    assert one.read_bytes() == other.read_bytes()
    one.write_text("kept")
    assert synthetic.furnish(tmp_path / "a", shape).read_text() == "kept"
    if task == "NBR":
        baskets = json.loads(other.read_text()).values()
        assert min(map(len, baskets)) >= 5
        assert 0.7 * shape.rows < sum(len(basket) for own in baskets for basket in own) <= 1.3 * shape.rows
    else:
        header, *rows = other.read_text().splitlines()
        assert header.endswith("_id:token\titem_id:token\ttimestamp:float") and len(rows) == shape.rows
        counts = np.sort(np.bincount([int(row.split("\t")[1]) for row in rows], minlength=shape.items))
        assert counts[-10:].sum() > 3 * counts[:10].sum() + 10


# --- speed -----------------------------------------------------------------------------------------------------------
def test_the_rows_of_speed(speed):
    args = speed.parse_args(["main"])
    labels = [row.label for row in speed.rows(args)]
    assert len(set(labels)) == len(labels)
    quick = [row.label for row in speed.rows(speed.parse_args(["main", "--quick"]))]
    assert len(labels) - len(quick) == 9 and not any("8,700,000" in label for label in quick)
    only = speed.parse_args(["main", "--only", "request (bpr|narm)"])
    assert [row.label for row in speed.rows(only)][-3:] == [
        "request NARM scif",
        "request NARM kookmin",
        "request NARM scif, ERASE's values",
    ]


def test_every_measurement_of_erases_code_has_a_row(speed):
    figures = yaml.safe_load((BENCHMARKS / "original.yaml").read_text())["speed"]
    rows = speed.rows(speed.parse_args(["main"]))
    beside = [str(row.original) for row in rows if row.original and not row.label.endswith("ERASE's values")]
    assert sorted(beside) == sorted(str(figure) for model in figures.values() for figure in model.values())


def test_rows_with_erases_values_use_them_and_the_same_model(speed):
    rows = {row.label: row for row in speed.rows(speed.parse_args(["main", "--only", "GRU4Rec ceu"]))}
    ours, theirs = rows["request GRU4Rec ceu"], rows["request GRU4Rec ceu, ERASE's values"]
    assert theirs.spec["settings"]["ceu_lambda"] == 0.01 and "ceu_lambda" not in ours.spec["settings"]
    assert (theirs.base, theirs.original) == (ours.base, ours.original)


def test_the_tables_of_speed(speed):
    row = next(row for row in speed.rows(speed.parse_args(["main"])) if row.label == "request BPR scif")
    done = DONE | {"outcomes": {"applied": 3}}
    results = {
        f"{row.label} | before {n}": done | {"cpu": float(n)} for n in (1, 2, 3)} | {
        f"{row.label} | after 1": done | {"cpu": 0.5, "peak_mib": 300.0},
    }  # fmt: skip
    text = speed.tables([row], results, 3, "0" * 40)
    header, _, line = table_of(text)
    assert dict(zip(header, line, strict=True)) == {
        "work": "request BPR scif", "original, as shipped": "1.1", "original, no anomaly mode": "0.28", "before": "2",
        "after": "0.5", "ratio": "4.00", "MiB before": "400", "MiB after": "300",
        "outcomes": "9 applied; after: 3 applied",
    }  # fmt: skip
    assert "Processes: 4 done." in text
    results[f"{row.label} | after 1"] = TIMEOUT
    line = dict(zip(header, table_of(speed.tables([row], results, 3, "0" * 40))[-1], strict=True))
    assert (line["after"], line["ratio"], line["outcomes"]) == ("> 900", "", "9 applied; after: 1 timeout")


def test_the_sides_alternate_and_a_timeout_is_not_repeated(speed, monkeypatch, capsys):
    args = speed.parse_args(["main", "--times", "3", "--only", "request BPR scif"])
    calls = []

    def measured(args, side, row, source):
        calls.append((side, source))
        return DONE if side == "before" else TIMEOUT

    monkeypatch.setattr(speed, "measured", measured)
    monkeypatch.setattr(speed, "make_ready", lambda *_: None)
    results = speed.Results(None, {})
    speed.measure_rows(args, speed.rows(args), results, {"before": "old", "after": "new"})
    assert calls == [("before", "old"), ("after", "new"), ("before", "old"), ("before", "old")]
    assert "2 -> > 900 CPU s" in capsys.readouterr().out


def test_models_of_other_revisions_are_deleted(speed, tmp_path):
    about = {"before": "a", "after": "b"}
    speed.forget_others(tmp_path, about)
    kept = [
        tmp_path / "weights" / "model.pth",
        tmp_path / "homes" / "after" / "saved.pth",
        tmp_path / "cf" / "cf.inter",
    ]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_text("")
    speed.forget_others(tmp_path, about)
    assert all(path.exists() for path in kept)
    speed.forget_others(tmp_path, about | {"after": "c"})
    assert [path.exists() for path in kept] == [False, False, True]


@pytest.mark.parametrize(
    "words, told", [(["no-such-revision"], "no revision 'no-such-revision'"), (["HEAD", "--only", "xyz"], "no row has")]
)
def test_mistakes_give_one_line_errors(speed, words, told):
    with pytest.raises(UserError, match=told):
        speed.main(words)


# --- small runs -------------------------------------------------------------------------------------------------------
def test_a_small_run(scale, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("<!-- scale: begin --><!-- scale: end -->\n")
    words = ["--folder", tmp_path / "logs", "--sizes", "small", "--models", "BPR", "--parts", "load", "--json"]
    words = [*map(str, [*words, tmp_path / "results.json", "--docs", page])]
    assert scale.main(words) == 0
    told = capsys.readouterr().out
    assert "  6/6 cf_4000 parsing" in told and "Parts: 6 done." in told
    header, _, line = table_of(page.read_text())
    assert line[2] == "load" and all(line[3:9]) and len(header) == 12
    kept = json.loads((tmp_path / "results.json").read_text())["results"]
    assert kept["cf_2000 load"]["rows"] == 2_000 and kept["cf_4000 load"]["people"] == 200
    assert scale.main(words) == 0
    assert capsys.readouterr().out.count("(measured before)") == 6


@pytest.mark.slow
@pytest.mark.parametrize("model", ["LightGCN", "GRU4Rec", "DNNTSP"])
def test_a_small_run_of_everything(scale, tmp_path, model):
    words = ["--folder", str(tmp_path), "--sizes", "small", "--models", model, "--algorithms", "scif", "gif"]
    words += ["--json", str(tmp_path / "results.json")]
    assert scale.main(words) == 0
    kept = json.loads((tmp_path / "results.json").read_text())["results"]
    assert len(kept) == 16 and {one["status"] for one in kept.values()} == {"done"}
    assert all(sum(one["outcomes"].values()) == 3 for label, one in kept.items() if "request" in label)
    assert not any(one.get("untrained") for one in kept.values())
