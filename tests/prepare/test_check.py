"""Checks of a prepared data set: against its published sizes, and for consistency of its files."""

import argparse
import json
from pathlib import Path

import pytest

from recbole.prepare.check import check, note_source
from recbole.prepare.published import Figure, read_published
from recbole.utils import UserError

DATASETS = sorted(path.parent for path in (Path(__file__).parents[2] / "dataset").glob("*/prepare.py"))
HEADER = "user_id:token\tsession_id:token\titem_id:token\n"
ROWS = ["u1\ts1\ta", "u1\ts1\tb", "u2\ts2\ta", "u2\ts3\tb"]
BASKETS = {"1": [[10, 20], [10], [30], [20]], "2": [[10], [20], [10], [10]]}
WHOLE = "prepared: {interactions: 4, users: 2, sessions: 3, items: 2}\nat_least: {rows_per_user: 2, rows_per_item: 2}\n"


@pytest.fixture
def folder(tmp_path):
    """A prepared data set of sessions, with a list of sensitive items, a forget set, and published figures."""
    (tmp_path / "small.inter").write_text(HEADER + "".join(f"{row}\n" for row in ROWS))
    (tmp_path / "sensitive_asins_c.txt").write_text("a\n")
    asked = "small_unlearn_pairs_sensitive_category_c_seed_2_unlearning_fraction_0.5.inter"
    (tmp_path / asked).write_text(HEADER + f"{ROWS[2]}\n")
    (tmp_path / "published.yaml").write_text(WHOLE)
    return tmp_path


@pytest.fixture
def baskets(tmp_path):
    """A prepared data set of baskets, with a list of sensitive items, and forget sets in both formats."""
    (tmp_path / "small_merged.json").write_text(json.dumps(BASKETS))
    (tmp_path / "sensitive_asins_c.txt").write_text("20\n")
    stem = "small_unlearn_pairs_sensitive_category"
    (tmp_path / f"{stem}_c_seed_2_unlearning_fraction_0.5.json").write_text('["2"]')
    (tmp_path / f"{stem}_d_seed_2_unlearning_fraction_0.5.inter").write_text("user_id:token\titem_id:token\n1\t20\n")
    (tmp_path / "published.yaml").write_text("prepared: {interactions: 9, users: 2, baskets: 8, items: 3}\n")
    return tmp_path


def checked(folder, **more):
    check(argparse.Namespace(**({"output": folder, "name": "small", "subset": None} | more)), folder)


def refusal(folder, **more):
    with pytest.raises(UserError) as refused:
        checked(folder, **more)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# --- published figures -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("written", "agree", "differ"),
    [
        ("20000263", [20_000_263], [20_000_262, 20_000_264]),
        ("7.0M", [6_950_000, 7_050_000], [6_949_999, 7_050_001]),
        ("603.2K", [603_150, 603_250], [603_149, 603_251]),
        ("14M", [13_500_000], [13_499_999]),
        ("1000\n  tolerance: 0.05", [950, 1050], [949, 1051]),
    ],
)
def test_figures_agree_within_their_stated_precision(tmp_path, written, agree, differ):
    path = tmp_path / "published.yaml"
    path.write_text(f"source:\n  users: {written}\n  published: somewhere\n  reason: another year\n")
    section = read_published(path).source
    figure = section.figures["users"]
    assert [figure.agrees(n) for n in (*agree, *differ)] == [True] * len(agree) + [False] * len(differ)
    assert (list(section.figures), section.origin, section.reason) == (["users"], "somewhere", "another year")


def test_figures_are_shown_with_their_precision():
    assert (str(Figure(12_391)), str(Figure(7_000_000, 50_000))) == ("12,391", "about 7,000,000")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sources: {users: 3}", "unknown section 'sources'; there are source, prepared, at_least"),
        ("source: {users: many}", "'users' is 'many', expected a whole number"),
        ("prepared: {users: -1}", "'users' is -1, expected"),
        ("source: {users: 1, tolerance: wide}", "'tolerance' is wide, expected a share"),
        ("- 1", "expected the sections"),
        ("source: {", "cannot read"),
    ],
)
def test_an_error_in_the_file_of_figures_is_reported(tmp_path, text, told):
    (tmp_path / "published.yaml").write_text(text)
    with pytest.raises(UserError, match=r"published\.yaml") as refused:
        read_published(tmp_path / "published.yaml")
    assert told in str(refused.value)


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda path: path.name)
def test_every_data_set_has_published_figures(dataset):
    published = read_published(dataset / "published.yaml")
    for section in (published.source, published.prepared):
        assert bool(section.figures) == bool(section.origin)
    known = published.source.figures or published.prepared.figures
    assert bool(known) != (dataset.name == "nowp")


# --- counts ----------------------------------------------------------------------------------------------------------
def test_counts_that_agree_are_printed_next_to_the_published_ones(folder, capsys):
    note_source(folder, {"interactions": 6, "users": 3})
    (folder / "published.yaml").write_text(WHOLE + "source: {interactions: 6, published: a paper}\n")
    checked(folder)
    told = " ".join(capsys.readouterr().out.split())
    assert "source interactions 6 published: 6 source users 3 published: not known" in told
    assert "prepared sessions 3 published: 3" in told
    assert "(published figures of the source data: a paper)" in told and told.endswith(
        "the counts agree with the published ones"
    )


def test_counts_of_baskets_agree(baskets, capsys):
    checked(baskets)
    assert "prepared baskets 8 published: 8" in " ".join(capsys.readouterr().out.split())


def test_unpublished_figures_are_marked(folder, capsys):
    (folder / "published.yaml").unlink()
    checked(folder)
    assert "no counts are published" in capsys.readouterr().out


def test_source_figures_without_source_counts_are_not_checked(folder, capsys):
    (folder / "published.yaml").write_text(WHOLE + "source: {interactions: 6, users: 3}\n")
    checked(folder)
    assert "so 2 published figures are not checked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        (
            "prepared: {interactions: 8, items: 2, users: 1}",
            "small: 4 prepared interactions, 4 fewer than the 8 published (-50 %); 2 prepared users, 1 more than "
            "the 1 published (+100 %): probably the raw files have another version",
        ),
        ("prepared: {users: 9, reason: ours is a sample}", "(-77.8 %): ours is a sample"),
        ("prepared: {baskets: 3}", "no baskets are counted in the prepared data, 3 are published"),
        (
            "source: {users: 4}",
            "small: 3 source users, 1 fewer than the 4 published (-25 %): probably the raw files are another release, "
            "or truncated",
        ),
        ("source: {users: 2}", "1 more than the 2 published (+50 %): probably the raw files are another release"),
        (
            "source: {users: 3}\nprepared: {users: 4}",
            "(-50 %): the raw files have the published counts, so probably a filter",
        ),
    ],
)
def test_a_count_that_differs_is_reported_with_the_difference_and_a_reason(folder, figures, told):
    note_source(folder, {"users": 3})
    (folder / "published.yaml").write_text(figures)
    assert told in refusal(folder)


def test_rows_of_a_split_are_counted(folder, capsys):
    (folder / "small.train_all.inter").write_text(HEADER + f"{ROWS[0]}\n")
    (folder / "published.yaml").write_text("prepared: {train_all_interactions: 2}")
    assert "1 prepared train all interactions, 1 fewer than the 2 published" in refusal(folder)


def test_nothing_was_prepared(tmp_path):
    assert refusal(tmp_path).endswith("small.inter nor small_merged.json: prepare the data set first")


# --- files that belong together --------------------------------------------------------------------------------------
def test_a_subset_is_only_checked_for_consistency(folder, capsys):
    (folder / "published.yaml").write_text("prepared: {users: 99}\nat_least: {rows_per_user: 99}")
    checked(folder, subset=0.5)
    assert "no counts are published" in capsys.readouterr().out
    (folder / "sensitive_asins_c.txt").write_text("a\nz\n")
    assert "item z is not in small.inter; the files are from different preparations" in refusal(folder, subset=0.5)


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ("at_least: {rows_per_item: 3}", "number of rows per item is 2, but the preparation leaves at least 3"),
        (
            "at_least: {baskets_per_user: 3}",
            "'baskets_per_user' is not a count of small.inter; known are rows_per_user, rows_per_item",
        ),
    ],
)
def test_invariants_are_checked(folder, figures, told):
    (folder / "published.yaml").write_text(figures)
    assert told in refusal(folder)


@pytest.mark.parametrize("row", ["u1\ts1\tz", "u9\ts1\ta", "u3\ts9\ta"])
def test_a_forget_set_row_that_is_not_in_the_log_is_reported(folder, row):
    with open(folder / "small.inter", "a") as file:
        file.write("u3\ts9\tb\n")
    (folder / "published.yaml").unlink()
    next(folder.glob("small_unlearn_pairs_*")).write_text(HEADER + f"{ROWS[2]}\n{row}\n")
    user, _, item = row.split("\t")
    assert f"_0.5.inter: user_id {user} with item {item} is not in small.inter; the files" in refusal(folder)


@pytest.mark.parametrize(
    ("end", "content", "told"),
    [
        ("c_seed_2_unlearning_fraction_0.5.json", '["2", "7"]', "user 7 is not in small_merged.json"),
        ("d_seed_2_unlearning_fraction_0.5.inter", "user_id:token\titem_id:token\n1\t50\n", "item 50 is not in"),
    ],
)
def test_a_forget_set_user_without_baskets_is_reported(baskets, end, content, told):
    (baskets / f"small_unlearn_pairs_sensitive_category_{end}").write_text(content)
    assert told in refusal(baskets)


def test_users_with_too_few_baskets_are_reported(baskets):
    (baskets / "published.yaml").write_text("at_least: {baskets_per_user: 5, items_per_basket: 1}")
    assert "number of baskets per user is 4, but the preparation leaves at least 5" in refusal(baskets)
