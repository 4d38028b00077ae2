"""`dataset/diginetica_sample/prepare.py`, run as a command without network."""

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "dataset/diginetica_sample/prepare.py"
HEADER = "session_id;user_id;item_id;timeframe;eventdate"
REFERENCE = os.environ.get("ERASE_REFERENCE_DATA")
VIEWS = ["2;NA;70;9;2016-05-02", "10;7;80;300;2016-05-01", "9;NA;70;20;2016-05-01", "10;7;80;40;2016-05-01"]


def prepare(source, output, *more):
    command = [sys.executable, str(SCRIPT), "--from", str(source), "--output", str(output), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_views(folder, lines, name="train-item-views.csv"):
    (folder / name).write_text("".join(f"{line}\n" for line in lines))


def test_rows_are_sorted_by_date_session_and_time_and_the_category_is_sampled(tmp_path):
    more = [f"{20 + at};NA;{90 + at % 3};{at};2016-05-03" for at in range(15)]  # three items with five views each
    write_views(tmp_path, [HEADER, *VIEWS, *more], "sample_train-item-views.csv")
    done = prepare(tmp_path, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "is NOT identical to the published sample" in done.stdout
    lines = (tmp_path / "out/diginetica_sample.inter").read_text().splitlines()
    assert lines[:5] == [
        "session_id:token\titem_id:token\ttimestamp:float",
        "9\t70\t0",
        "10\t80\t1",  # at 40, before the view at 300
        "10\t80\t2",
        "2\t70\t3",
    ]
    assert (tmp_path / "out/sensitive_asins_middling.txt").read_text() == "90\n91\n92\n"
    assert "category 'tuning' is left out, because no item is left" in done.stdout
    assert not list((tmp_path / "out").glob("*tuning*"))
    files = [path.name for path in (tmp_path / "out").glob("*unlearn_pairs*")]
    assert len(files) == 5 * 4
    assert "diginetica_sample_unlearn_pairs_sensitive_category_middling_seed_3_unlearning_fraction_0.005.inter" in files


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER.replace("_", ""), *VIEWS], "train-item-views.csv:1: expected the header session_id;"),
        ([HEADER, *VIEWS, "1;2;3;4"], "train-item-views.csv:6: expected 5 values, found 4"),
        ([HEADER], "train-item-views.csv: no rows"),
        ([HEADER, *VIEWS], "no item has 4 to 9 views, so the category 'middling' cannot be drawn"),
        (
            [HEADER, *VIEWS, "1;2;12345678901234567890;4;2016-01-01"],
            ".csv:6: value 3, '12345678901234567890', is not a",
        ),
        ([HEADER, *VIEWS, "1;2;3;4;someday"], "views.csv:6: value 5, 'someday', is not a date such as 2016-05-31"),
        ([HEADER, *VIEWS, "1;2;3;4;2016-13-01"], "views.csv:6: value 5, '2016-13-01', is not a date"),
        ([HEADER, *VIEWS, "1;2;x;4;2016-01-01"], "train-item-views.csv:6: value 3, 'x', is not a whole number"),
        (None, "contains neither train-item-views.csv nor sample_train-item-views.csv; download datasets/sample_"),
    ],
)
def test_errors_leave_no_files(tmp_path, lines, message):
    if lines is not None:
        write_views(tmp_path, lines)
    done = prepare(tmp_path, tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_subset_does_not_change_existing_data(tmp_path):
    more = [f"{20 + at};NA;{90 + at % 3};{at};2016-05-03" for at in range(15)]
    write_views(tmp_path, [HEADER, *VIEWS, *more])
    done = prepare(tmp_path, tmp_path / "out")
    done = prepare(tmp_path, tmp_path / "half", "--subset", "0.5")
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = (tmp_path / "out/diginetica_sample.inter").read_text().splitlines()
    header_of_half, *half = (tmp_path / "half/diginetica_sample_test.inter").read_text().splitlines()
    sessions = {row.split("\t")[0] for row in half}
    assert header_of_half == header
    assert half == [row for row in rows if row.split("\t")[0] in sessions]
    assert len(sessions) == 18 // 2
    listed = (tmp_path / "half/sensitive_asins_middling.txt").read_text().split()
    assert set(listed) == {row.split("\t")[1] for row in half} & {"90", "91", "92"}
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    write_views(tmp_path, [HEADER, *VIEWS])
    for more in ((), ("--rating_threshold", "3")):
        assert prepare(tmp_path, tmp_path / "out", *more).returncode == 2
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.skipif(REFERENCE is None, reason="needs the reference data")
def test_real_data(tmp_path):
    source = Path(REFERENCE) / "data/diginetica_sample"
    done = prepare(source, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is identical to the published sample" in done.stdout
    converted = (tmp_path / "diginetica_sample.inter").read_bytes()
    assert converted == (source / "diginetica_sample.inter").read_bytes()
    assert [line.split() for line in done.stdout.splitlines()[-2:]] == [
        ["middling", "80", "399", "6/12", "16/24", "31/67", "65/123"],
        ["tuning", "80", "405", "5/12", "12/25", "35/61", "83/124"],
    ]
    views = Counter(line.split("\t")[1] for line in converted.decode().splitlines()[1:])
    drawn = [(tmp_path / f"sensitive_asins_{category}.txt").read_text().split() for category in ("middling", "tuning")]
    assert len(set(drawn[0] + drawn[1])) == 80 + 80
    assert {views[item] for own in drawn for item in own} <= set(range(4, 10))
    for category, own in zip(("middling", "tuning"), drawn, strict=True):
        stem = f"diginetica_sample_unlearn_pairs_sensitive_category_{category}_seed_11_unlearning_fraction"
        sets = [
            (tmp_path / f"{stem}_{fraction}.inter").read_text().splitlines() for fraction in (0.001, 0.002, 0.005, 0.01)
        ]
        assert all(large[: len(small)] == small and len(large) > len(small) for small, large in pairwise(sets))
        assert {row.split("\t")[1] for row in sets[-1][1:]} <= set(own)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert prepare(source, tmp_path / "again").returncode == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == before
