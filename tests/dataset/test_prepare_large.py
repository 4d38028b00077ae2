"""The preparations of the large data sets, with small raw files in each source's format."""

import gzip
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from raw_mistakes import MISTAKES, OPTIONS
from raw_sources import BUILDERS, NEXT_BASKET, table

from recbole.config.layers import packaged_layers

ROOT = Path(__file__).parents[2]
SEEDS = (2, 3, 5, 7, 11)
SUBSETS = ("movielens", "amazon_reviews_books", "instacart")
MANY = """
import runpy, sys, json
for argv in json.loads(sys.argv[1]):
    sys.argv = argv
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as ended:
        sys.exit(f"{argv}: {ended.code}")
"""
ENVIRONMENTS = [
    {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONUTF8": "0"},
    {"PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8", "TZ": "America/New_York"},
]


def script(name):
    return ROOT / "dataset" / name / "prepare.py"


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fractions(name):
    return ("0.001",) if name in NEXT_BASKET else ("0.0001", "1e-05", "1e-06")


def forget_set(name, category, seed, fraction):
    extension = "json" if name in NEXT_BASKET else "inter"
    return f"{name}_unlearn_pairs_sensitive_category_{category}_seed_{seed}_unlearning_fraction_{fraction}.{extension}"


def main_file(name):
    return f"{name}_merged.json" if name.removesuffix("_test") in NEXT_BASKET else f"{name}.inter"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A dictionary of each data set to the folder of its raw files and the expected results."""
    folder = tmp_path_factory.mktemp("sources")
    made = {}
    for name, build in BUILDERS.items():
        (folder / name).mkdir()
        made[name] = folder / name, build(folder / name)
    return made


@pytest.fixture(scope="module")
def outputs(sources, tmp_path_factory):
    """Output folders of all preparations, each run twice in separate processes with different environments."""
    folders = []
    for environment in ENVIRONMENTS:
        folder = tmp_path_factory.mktemp("out")
        calls = []
        for name, (source, _) in sources.items():
            call = [str(script(name)), "--from", str(source), "--output"]
            calls.append([*call, str(folder / name)])
            if name in SUBSETS:
                calls.append([*call, str(folder / f"{name}_test"), "--subset", "0.4", "--seed", "3"])
        done = subprocess.run(
            [sys.executable, "-c", MANY, json.dumps(calls)],
            env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        folders.append(folder)
    return folders


@pytest.mark.parametrize("name", BUILDERS)
def test_writes_the_data_set(name, sources, outputs):
    _, expected = sources[name]
    files = files_of(outputs[0] / name)
    assert files[main_file(name)].decode() == expected.data
    for category, items in expected.lists.items():
        assert files[f"sensitive_asins_{category}.txt"].decode() == "".join(f"{item}\n" for item in items)
    sets = {forget_set(name, c, s, f) for c in expected.lists for s in SEEDS for f in fractions(name)}
    lists = {f"sensitive_asins_{category}.txt" for category in expected.lists}
    assert files.keys() == {main_file(name), "source_counts.json", *lists, *sets}


@pytest.mark.parametrize("name", [name for name in BUILDERS if name not in NEXT_BASKET])
def test_forget_sets_hold_rows_of_the_data(name, sources, outputs):
    _, expected = sources[name]
    header, *rows = expected.data.splitlines()
    items_at = header.split("\t").index("item_id:token")
    for category, items in expected.lists.items():
        largest = (outputs[0] / name / forget_set(name, category, 2, "0.0001")).read_text().splitlines()
        assert largest[0] == header
        assert set(largest[1:]) <= set(rows)
        assert {row.split("\t")[items_at] for row in largest[1:]} <= set(map(str, items))
        n_rows, users = expected.requests.get(category, (len(largest) - 1, None))
        assert len(largest) - 1 == n_rows
        assert users is None or {row.split("\t")[0] for row in largest[1:]} <= users


@pytest.mark.parametrize("name", NEXT_BASKET)
def test_forget_sets_of_baskets_are_users(name, sources, outputs):
    _, expected = sources[name]
    baskets = json.loads(expected.data)
    for category, items in expected.lists.items():
        users = json.loads((outputs[0] / name / forget_set(name, category, 2, "0.001")).read_text())
        assert len(users) == 1
        assert set(items) & {item for basket in baskets[users[0]] for item in basket}


@pytest.mark.parametrize("name", BUILDERS)
def test_the_output_does_not_depend_on_the_environment(name, outputs):
    assert files_of(outputs[0] / name) == files_of(outputs[1] / name)


@pytest.mark.parametrize("name", SUBSETS)
def test_a_subset_has_all_rows_of_some_users(name, sources, outputs):
    _, expected = sources[name]
    one, two = (files_of(folder / f"{name}_test") for folder in outputs)
    assert one == two
    text = one[main_file(f"{name}_test")].decode()
    if name in NEXT_BASKET:
        whole, part = json.loads(expected.data), json.loads(text)
        assert part.items() <= whole.items()
        n_users, n_all = len(part), len(whole)
    else:
        header, *rows = expected.data.splitlines()
        users = {row.split("\t")[0] for row in text.splitlines()[1:]}
        assert text == table(header, [row.split("\t") for row in rows if row.split("\t")[0] in users])
        n_users, n_all = len(users), len({row.split("\t")[0] for row in rows})
    assert n_users == max(1, int(0.4 * n_all))


def test_a_subset_has_the_fields_of_its_data_set():
    whole, part = (packaged_layers("SASRec", name) for name in ("nowp", "nowp_test"))
    assert [layer.values for layer in part[0]] == [layer.values for layer in whole[0]]
    assert part[1]["spam"].values["USER_ID_FIELD"] == "session_id"


def run_here(name, source, out, monkeypatch, capsys, *more):
    """Run a preparation in this process; return its exit status and its text on the standard error stream."""
    monkeypatch.setattr(sys, "argv", [str(script(name)), "--from", str(source), "--output", str(out), *more])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script(name)), run_name="__main__")
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(("name", "file", "change", "message"), MISTAKES)
def test_an_error_is_one_line_and_leaves_no_files(name, file, change, message, tmp_path, monkeypatch, capsys):
    source = tmp_path / "source"
    source.mkdir()
    BUILDERS[name](source)
    if change is None:
        (source / file).unlink()
    else:
        content = (source / file).read_bytes()
        assert change(content) != content
        (source / file).write_bytes(change(content))
    status, told = run_here(name, source, tmp_path / "out", monkeypatch, capsys)
    assert (status, told[:7], told.count("\n")) == (2, "error: ", 1)
    assert message in told
    assert os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize(("name", "more", "message"), OPTIONS)
def test_a_wrong_option_does_not_change_existing_files(
    name, more, message, sources, outputs, tmp_path, monkeypatch, capsys
):
    before = files_of(outputs[0] / name)
    shutil.copytree(outputs[0] / name, tmp_path / name)
    status, told = run_here(name, sources[name][0], tmp_path / name, monkeypatch, capsys, *more)
    assert (status, told[:7], told.count("\n")) == (2, "error: ", 1)
    assert message in told
    assert files_of(tmp_path / name) == before
    assert os.listdir(tmp_path) == [name]


OWN_TABLES = {
    "movielens": "source: {interactions: 10135, users: 62, items: 167}\n"
    "prepared: {interactions: 10126, users: 61, items: 166}\nat_least: {rows_per_user: 5, rows_per_item: 5}\n",
    "30music": "source: {interactions: 16, sessions: 5, users: 3}\nprepared: {interactions: 16, sessions: 4}\n",
    "instacart": "source: {users: 40, orders: 354, products: 5}\nprepared: {users: 3, items: 3}\n",
    "dunnhumby": "source: {interactions: 18, users: 3, baskets: 13, items: 5}\nprepared: {users: 2, baskets: 10}\n",
}


@pytest.mark.parametrize("name", OWN_TABLES)
def test_check_compares_counts_with_the_published_ones(name, outputs, tmp_path, monkeypatch, capsys):
    home = tmp_path / "dataset" / name
    shutil.copytree(ROOT / "dataset" / name, home, ignore=shutil.ignore_patterns("raw", "__pycache__"))
    call = [str(home / "prepare.py"), "--check", "--output", str(outputs[0] / name)]
    monkeypatch.setattr(sys, "argv", call)
    (home / "published.yaml").write_text(OWN_TABLES[name])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(call[0], run_name="__main__")
    told = capsys.readouterr()
    assert (ended.value.code, told.err) == (0, "") and told.out.endswith("the counts agree with the published ones\n")


@pytest.mark.parametrize("name", [name for name in BUILDERS if name != "nowp"])
def test_check_reports_a_size_that_differs_from_the_published_one(name, outputs, monkeypatch, capsys):
    before = files_of(outputs[0] / name)
    status, told = run_here(name, "unread", outputs[0] / name, monkeypatch, capsys, "--check")
    assert (status, told.count("\n")) == (2, 1)
    assert told.startswith(f"error: {name}: ") and "fewer than the " in told and "are another release" in told
    assert files_of(outputs[0] / name) == before


def test_check_of_a_missing_data_set(tmp_path, monkeypatch, capsys):
    status, told = run_here("nowp", "unread", tmp_path / "out", monkeypatch, capsys, "--check")
    assert (status, told.count("\n")) == (2, 1) and "prepare the data set first" in told
    assert not (tmp_path / "out").exists()


def test_without_eligible_users_no_files_are_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "source").mkdir()
    BUILDERS["30music"](tmp_path / "source")
    path = tmp_path / "source/relations/sessions.idomaar"
    path.write_bytes(b"".join(line for line in path.read_bytes().splitlines(True) if b'"id":7}' not in line))
    status, told = run_here("30music", tmp_path / "source", tmp_path / "out", monkeypatch, capsys)
    assert status == 2
    assert "that a user may request to forget (only users with at least 3 of them and at least 3 other " in told
    assert os.listdir(tmp_path) == ["source"]


def test_reviews_that_differ_only_in_the_parent_asin_count_once(sources, tmp_path, monkeypatch):
    folder, expected = sources["amazon_reviews_books"]
    shutil.copytree(folder, tmp_path / "source")
    lines = (tmp_path / "source/Books.jsonl").read_bytes()
    first = lines.splitlines(True)[0]
    (tmp_path / "source/Books.jsonl").write_bytes(
        lines + re.sub(rb'"parent_asin": "\w+"', b'"parent_asin": "P2"', first)
    )
    monkeypatch.setattr(
        sys,
        "argv",
        [str(script("amazon_reviews_books")), "--from", str(tmp_path / "source"), "--output", str(tmp_path / "o")],
    )
    runpy.run_path(str(script("amazon_reviews_books")), run_name="__main__")
    assert (tmp_path / "o/amazon_reviews_books.inter").read_text() == expected.data


@pytest.mark.parametrize("name", SUBSETS)
def test_lists_of_a_subset_contain_only_its_items(name, outputs):
    files = files_of(outputs[0] / f"{name}_test")
    text = files.pop(main_file(f"{name}_test")).decode()
    if name in NEXT_BASKET:
        items = {str(item) for baskets in json.loads(text).values() for basket in baskets for item in basket}
    else:
        header, *rows = (line.split("\t") for line in text.splitlines())
        items = {row[header.index("item_id:token")] for row in rows}
    lists = [content.decode().split() for file, content in files.items() if file.startswith("sensitive_asins")]
    assert lists and all(set(listed) <= items for listed in lists)


def test_the_archive_of_movielens_is_not_unpacked_into_its_folder(sources, tmp_path, monkeypatch):
    folder, expected = sources["movielens"]
    source = tmp_path / "source"
    source.mkdir()
    rows = [row.split("\t") for row in expected.data.splitlines()[1:]]
    with zipfile.ZipFile(source / "ml-20m.zip", "w") as archive:
        archive.writestr("ml-20m/ratings.csv", "\n".join(["userId,movieId,rating,timestamp", *map(",".join, rows), ""]))
        archive.writestr("ml-20m/movies.csv", gzip.decompress((folder / "movie.csv.gz").read_bytes()))
        archive.writestr("ml-20m/tags.csv", (folder / "tag.csv").read_bytes())
    command = [str(script("movielens")), "--from", str(source), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", command)
    runpy.run_path(str(script("movielens")), run_name="__main__")
    assert (tmp_path / "out/movielens.inter").read_text() == expected.data
    assert os.listdir(source) == ["ml-20m.zip"]
    assert sorted(os.listdir(tmp_path)) == ["out", "source"]
    assert all(path.is_file() for path in (tmp_path / "out").iterdir())


def test_large_order_numbers_are_accepted(sources, tmp_path, monkeypatch):
    folder, expected = sources["instacart"]
    shutil.copytree(folder, tmp_path / "source")
    path = tmp_path / "source/orders.csv.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"999999999999,40,test,11,2,08,1.0\n"))
    command = [str(script("instacart")), "--from", str(tmp_path / "source"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", command)
    runpy.run_path(str(script("instacart")), run_name="__main__")
    assert (tmp_path / "out/instacart_merged.json").read_text() == expected.data


def test_nowp_files_may_have_a_header(sources, tmp_path, monkeypatch, capsys):
    _, expected = sources["nowp"]
    source = tmp_path / "source"
    source.mkdir()
    BUILDERS["nowp"](source)
    path = source / "sessions_2018.csv"
    path.write_bytes(
        b"user_id,source,timestamp,track_title,artist_name,musicbrainz_id,session_id\n" + path.read_bytes()
    )
    monkeypatch.setattr(sys, "argv", [str(script("nowp")), "--from", str(source), "--output", str(tmp_path / "out")])
    runpy.run_path(str(script("nowp")), run_name="__main__")
    assert (tmp_path / "out/nowp.inter").read_text() == expected.data
    assert "2 plays without" in capsys.readouterr().out


def test_movielens_in_the_format_of_grouplens(sources, tmp_path, monkeypatch):
    folder, expected = sources["movielens"]
    source = tmp_path / "source"
    source.mkdir()
    rows = [row.split("\t") for row in expected.data.splitlines()[1:]]
    lines = [",".join([user, film, rating, time]) for user, film, rating, time in rows]
    (source / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *lines, ""]))
    (source / "movies.csv.gz").write_bytes((folder / "movie.csv.gz").read_bytes())
    (source / "tags.csv").write_bytes((folder / "tag.csv").read_bytes())
    monkeypatch.setattr(
        sys, "argv", [str(script("movielens")), "--from", str(source), "--output", str(tmp_path / "out")]
    )
    runpy.run_path(str(script("movielens")), run_name="__main__")
    assert (tmp_path / "out/movielens.inter").read_text() == expected.data


def test_data_that_must_be_downloaded_by_hand(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script("dunnhumby")), "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script("dunnhumby")), run_name="__main__")
    assert ended.value.code == 2
    assert (
        "then add --from DIR, where DIR is a folder with transaction_data.csv and product.csv"
        in capsys.readouterr().err
    )
