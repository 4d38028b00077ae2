"""`benchmarks/formats.py`: generated raw files of the data sets, and the measurement from raw files to a request."""

import importlib
import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DONE = {"status": "done", "limit": 900, "cpu": 2.0, "wall": 3.0, "peak_mib": 400.0}
FAILED = DONE | {"status": "failed", "reason": "no memory"}
LOADED = DONE | {"rows": 1234, "people": 56, "items": 7}
STEPS = DONE | {"cpu": 90.0, "cpu_of_steps": 1.5}
ASKED = DONE | {"outcomes": {"applied": 1}}


@pytest.fixture
def imported(monkeypatch):
    """A function: ``imported(name)`` imports a script of the benchmarks."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def formats(imported):
    return imported("formats")


def arguments(folder, *more):
    return ["--folder", str(folder / "made"), "--json", str(folder / "kept.json"), *more]


@pytest.mark.parametrize(("name", "scale"), [("dunnhumby", 0.002), ("nowp", 0.0005), ("30music", 0.0002)])
def test_generated_files_can_be_prepared(imported, tmp_path, monkeypatch, name, scale):
    raw_formats = imported("raw_formats")
    for folder in ("one", "two"):
        raw_formats.write_raw(name, tmp_path / folder, scale)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert files and all(
        (tmp_path / "one" / own).read_bytes() == (tmp_path / "two" / own).read_bytes() for own in files
    )
    script = str(ROOT / "dataset" / name / "prepare.py")
    monkeypatch.setattr(sys, "argv", [script, "--from", str(tmp_path / "one"), "--output", str(tmp_path / "out")])
    runpy.run_path(script, run_name="__main__")
    read = json.loads((tmp_path / "out" / "source_counts.json").read_text())
    wanted = raw_formats.Source(name, tmp_path / "unused", scale)["interactions"]
    assert 0.95 * wanted <= read["interactions"] <= 1.05 * wanted


def test_sizes_are_scaled_from_the_published_ones(imported, tmp_path):
    source = imported("raw_formats").Source("instacart", tmp_path, 0.01)
    assert (source["users"], source["orders"], source["products"]) == (2_062, 34_210, 496)


def test_three_data_sets_have_full_size_and_the_others_a_tenth(formats, tmp_path):
    args = formats.parse_args(arguments(tmp_path))
    shares = {name: formats.share_of(args, name) for name in formats.FORMATS}
    assert {name for name, share in shares.items() if share == 1} == {"movielens", "30music", "instacart"}
    assert set(shares.values()) == {1, 0.1} and len(shares) == 8
    assert list(formats.FORMATS)[-1] == "30music" and shares.keys() == formats.MODELS.keys()
    assert formats.share_of(formats.parse_args(arguments(tmp_path, "--scale", "0.5")), "nowp") == 0.5


@pytest.fixture
def measured(formats, monkeypatch):
    """A list of the measured parts in order; each part returns its entry in the attribute ``answers``."""
    calls = []
    answers = {"prepare": DONE | {"megabytes": 12.0}, "load": LOADED, "steps": STEPS, "request": ASKED}

    def prepare(args, name):
        calls.append(f"{name} prepare")
        (args.folder / "data" / name).mkdir(parents=True)
        (args.folder / "data" / name / "source_counts.json").touch()
        return answers["prepare"]

    def measure(spec, cwd):
        part = {"epoch": "steps"}.get(spec["part"], spec["part"])
        calls.append(f"{spec['name']} {part}")
        return answers[part]

    monkeypatch.setattr(formats, "prepare", prepare)
    monkeypatch.setattr(formats, "measure", measure)
    return calls, answers


def test_parts_are_measured_once_and_no_files_are_left(formats, measured, tmp_path, capsys):
    calls, _ = measured
    assert formats.main(arguments(tmp_path, "--only", "nowp")) == 0
    assert calls == [f"nowp {part}" for part in formats.PARTS]
    told = capsys.readouterr().out
    assert (
        "| nowp | 0.1 | 12 | 1,234 | 56 | 7 | GRU4Rec | 2 | 400 | 2 | 400 | 1.5 | 400 | 2 | 400 | 1 applied |" in told
    )
    assert "Parts: 4 done. Not measured to the end: dunnhumby, " in told
    assert list((tmp_path / "made" / "data").iterdir()) == []
    calls.clear()
    assert formats.main(arguments(tmp_path, "--only", "nowp")) == 0
    assert calls == [] and "nowp: all parts (as kept)" in capsys.readouterr().out


def test_a_failed_part_ends_its_data_set_and_is_repeated_later(formats, measured, tmp_path, capsys):
    calls, answers = measured
    answers["load"] = FAILED
    assert formats.main(arguments(tmp_path, "--only", "nowp", "dunnhumby")) == 1
    assert calls == ["dunnhumby prepare", "dunnhumby load", "nowp prepare", "nowp load"]
    assert "failed: no memory" in capsys.readouterr().out
    answers["load"] = LOADED
    calls.clear()
    assert formats.main(arguments(tmp_path, "--only", "nowp")) == 1  # the failure of dunnhumby is still recorded
    assert calls == ["nowp prepare", "nowp load", "nowp steps", "nowp request"]


def test_the_docs_page_has_markers_for_the_table(formats, measured, tmp_path):
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert page.index("<!-- formats: begin -->") < page.index("<!-- formats: end -->")
    (tmp_path / "page.md").write_text("<!-- formats: begin -->\nold\n<!-- formats: end -->\n")
    formats.main(arguments(tmp_path, "--only", "nowp", "--docs", str(tmp_path / "page.md")))
    told = (tmp_path / "page.md").read_text()
    assert "| nowp | 0.1 |" in told and "old" not in told
    measured[1]["steps"] = STEPS | {"steps": 4}
    formats.main(arguments(tmp_path, "--only", "nowp", "--docs", str(tmp_path / "page.md"), "--again"))
    assert "| 1.5 (4) | 400 |" in (tmp_path / "page.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scale"), [("dunnhumby", "0.002"), ("nowp", "0.002"), ("movielens", "0.01"), ("goodreads", "0.002")]
)
def test_a_small_run(formats, tmp_path, name, scale):
    """At a smaller scale, MovieLens has so few films that some user has rated all of them."""
    assert formats.main(arguments(tmp_path, "--only", name, "--scale", scale, "--steps", "3")) == 0
    kept = json.loads((tmp_path / "kept.json").read_text())["results"]
    assert {one["status"] for one in kept.values()} == {"done"} and len(kept) == 4
    assert sum(kept[f"{name} request"]["outcomes"].values()) == 1
    assert [path for path in (tmp_path / "made").rglob("*") if path.is_file()] == []
