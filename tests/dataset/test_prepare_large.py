"""The preparations of the large data sets, on small raw files of each source's form."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
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
    """A dict from each data set to its raw files' folder and what must be made of them."""
    folder = tmp_path_factory.mktemp("sources")
    made = {}
    for name, build in BUILDERS.items():
        (folder / name).mkdir()
        made[name] = folder / name, build(folder / name)
    return made


@pytest.fixture(scope="module")
def outputs(sources, tmp_path_factory):
    """All preparations, run in two processes of their own under different environments; a list of output folders."""
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
    assert files.keys() == {main_file(name), *(f"sensitive_asins_{category}.txt" for category in expected.lists), *sets}


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
def test_environment_does_not_matter(name, outputs):
    assert files_of(outputs[0] / name) == files_of(outputs[1] / name)


@pytest.mark.parametrize("name", SUBSETS)
def test_subset_has_all_rows_of_some_users(name, sources, outputs):
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


def test_subset_has_the_fields_of_its_data_set():
    whole, part = (packaged_layers("SASRec", name) for name in ("nowp", "nowp_test"))
    assert [layer.values for layer in part[0]] == [layer.values for layer in whole[0]]
    assert part[1].values["USER_ID_FIELD"] == "session_id"


def run_here(name, source, out, monkeypatch, capsys, *more):
    """Run a preparation in this process; return its exit status and what it told on the error stream."""
    monkeypatch.setattr(sys, "argv", [str(script(name)), "--from", str(source), "--output", str(out), *more])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script(name)), run_name="__main__")
    return ended.value.code, capsys.readouterr().err


def replaced(old, new):
    return lambda content: content.replace(old, new, 1)


def cut_off(content):
    return content[: len(content) // 2]


def damaged(content):
    return content[:20] + bytes(40) + content[60:]


MISTAKES = [
    (
        "movielens",
        "rating.csv",
        replaced(b"movieId", b"movie_id"),
        "rating.csv:1: there is no column 'movieId', did you",
    ),
    ("movielens", "rating.csv", replaced(b"4.0,", b""), ": expected 4 values, found 3"),
    ("movielens", "rating.csv", replaced(b"4.0", b"four"), ": column 'rating': 'four' is not a number"),
    ("movielens", "rating.csv", replaced(b"2005-04-03 ", b"3 April "), "is not a time"),
    ("movielens", "rating.csv", replaced(b",4.0,", b",,"), ": column 'rating': there is no value"),
    ("movielens", "rating.csv", lambda content: b"", "rating.csv: empty file, expected a header with userId, movieId"),
    ("movielens", "rating.csv", lambda content: content[:40], "rating.csv: no rows"),
    ("movielens", "movie.csv.gz", cut_off, "movie.csv.gz:"),
    ("movielens", "movie.csv.gz", damaged, "the compressed file is damaged here"),
    ("movielens", "tag.csv", None, "holds no tag.csv or tags.csv (plain, or as .gz)"),
    (
        "goodreads",
        "goodreads_interactions.csv",
        replaced(b"10,11,1,3,0", b"10,11,1,3.5,0"),
        "'3.5' is not a whole number",
    ),
    (
        "goodreads",
        "goodreads_interactions.csv",
        replaced(b"10,11", b"10,1\xff1"),
        "goodreads_interactions.csv:17: not UTF-8",
    ),
    (
        "goodreads",
        "book_id_map.csv",
        replaced(b"\n10,77\n11,10", b"\n10,78\n15,10"),
        "category 'mental_health': none of its 1 items is among the 6",
    ),
    (
        "amazon_reviews_books",
        "Books.jsonl",
        replaced(b'{"rating": 4.5', b'{"rating": "4.5"'),
        "'rating' is \"4.5\", expected",
    ),
    ("amazon_reviews_books", "Books.jsonl", replaced(b'"asin": ', b'"ASIN": '), "Books.jsonl:1: there is no 'asin'"),
    ("amazon_reviews_books", "Books.jsonl", cut_off, "not JSON"),
    ("amazon_reviews_books", "meta_Books.jsonl.gz", cut_off, "the compressed file is cut off here; fetch it again"),
    ("30music", "relations/sessions.idomaar", replaced(b"} {", b"},{"), "sessions.idomaar:1: expected kind, id, time"),
    ("30music", "relations/sessions.idomaar", replaced(b'"id":7}', b'"id":"7"}'), "sessions.idomaar:2: "),
    ("30music", "relations/sessions.idomaar", replaced(b'"id":7}', b'"id":7'), "sessions.idomaar:2: "),
    ("nowp", "sessions_2018.csv", replaced(b",9\n", b"\n"), "sessions_2018.csv:1: expected 7 values, found 6"),
    (
        "instacart",
        "order_products__train.csv",
        replaced(b"order_id", b"order"),
        "train.csv:1: there is no column 'order_id'",
    ),
    ("dunnhumby", "product.csv", replaced(b"SPIRITS", b'"SPIRITS'), "product.csv:"),
]


@pytest.mark.parametrize(("name", "file", "change", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(name, file, change, message, tmp_path, monkeypatch, capsys):
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
    assert status == 2
    assert told.startswith("error: ")
    assert message in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_nowp_may_have_a_header(sources, tmp_path, monkeypatch, capsys):
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


def test_grouplens_form_of_movielens(sources, tmp_path, monkeypatch):
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


def test_subset_must_be_a_share(sources, tmp_path, monkeypatch, capsys):
    status, told = run_here("nowp", sources["nowp"][0], tmp_path / "out", monkeypatch, capsys, "--subset", "1.5")
    assert (status, told) == (2, "error: --subset: a share from 0 to 1, such as 0.01, not 1.5\n")


def test_data_to_be_fetched_by_hand(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script("dunnhumby")), "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script("dunnhumby")), run_name="__main__")
    assert ended.value.code == 2
    assert "give --from DIR, a folder with transaction_data.csv and product.csv" in capsys.readouterr().err
