"""`dataset/ml-100k/prepare.py`, run as a command without network."""

import os
import re
import runpy
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "dataset/ml-100k/prepare.py"
FLAGS = {"unknown": 0, "Children's": 4, "Comedy": 5, "Crime": 6, "Drama": 8, "Film-Noir": 10, "Horror": 11, "War": 17}
MOVIES = [
    (1, "Toy Story (1995)", ["Comedy"]),
    (2, "Misérables, Les (1995)", ["Drama", "War"]),
    (10, "Seven (Se7en) (1995)", ["Crime", "Film-Noir"]),
    (9, "Land Before Time III: The Great Giving (1995) (V)", ["Horror"]),
    (267, "unknown", ["unknown"]),
    (300, "Untitled", ["Horror", "Crime"]),
    (11, "Ghost of War", ["Children's", "War"]),
]
REFERENCE = os.environ.get("ERASE_REFERENCE_DATA")


def movie_line(movie, title, genres):
    flags = ["0"] * 19
    for genre in genres:
        flags[FLAGS[genre]] = "1"
    return "|".join([str(movie), title, "01-Jan-1995", "", "http://us.imdb.com/x", *flags])


@pytest.fixture
def source(tmp_path):
    """A folder with small files in GroupLens's format: 400 ratings of 7 movies by 40 users."""
    folder = tmp_path / "source"
    folder.mkdir()
    ratings = [(1 + at * 9 % 40, MOVIES[at % 7][0], 1 + at % 5, 881250949 + at) for at in range(400)]
    (folder / "u.data").write_text("".join("\t".join(map(str, rating)) + "\n" for rating in ratings))
    (folder / "u.item").write_bytes("".join(movie_line(*movie) + "\n" for movie in MOVIES).encode("latin-1"))
    (folder / "u.user").write_text("".join(f"{user}|24|M|technician|0{user:04}\n" for user in range(1, 41)))
    return folder


def prepare(*arguments, **environment):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_converts_grouplens_files(source, tmp_path):
    out = tmp_path / "out"
    done = prepare("--from", source, "--output", out, PYTHONHASHSEED="0", TZ="Asia/Tokyo", LC_ALL="C", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    files = files_of(out)
    header = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    assert files["ml-100k.inter"] == header + (source / "u.data").read_bytes()
    assert files["ml-100k.item"].decode().splitlines() == [
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
        "1\tToy Story\t1995\tComedy",
        "2\tMisérables, Les\t1995\tDrama War",
        "10\tSeven (Se7en)\t1995\tCrime Film-Noir",
        "9\tLand Before Time III: The Great Giving (1995)\tV\tHorror",
        "267\tunkonwn\tunkonwn\tunknown",
        "300\tUntitled\t\tCrime Horror",
        "11\tGhost of War\t\tChildren's War",
    ]
    assert files["ml-100k.user"].decode().splitlines()[:2] == [
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token",
        "1\t24\tM\ttechnician\t00001",
    ]
    assert files["sensitive_asins_horror.txt"] == b"9\n300\n"
    assert files["sensitive_asins_crime.txt"] == b"10\n300\n"
    assert files["sensitive_asins_war.txt"] == b"2\n11\n"
    assert files["sensitive_asins_childrens.txt"] == b"11\n"
    assert files["sensitive_asins_tuning_war.txt"] == b"2\n"
    assert files["sensitive_asins_tuning_crime.txt"] == b"10\n"
    assert len(files) == 3 + 6 + 6 * 5 * 4
    rows = files[
        "ml-100k_unlearn_pairs_sensitive_category_tuning_war_seed_2_unlearning_fraction_0.005.inter"
    ].splitlines(True)
    assert rows[0] == header
    assert rows[1:]
    assert set(rows[1:]) <= {row for row in (source / "u.data").read_bytes().splitlines(True) if b"\t2\t" in row}
    assert "the data files are NOT identical to those of RecBole" in done.stdout
    again = prepare("--from", source, "--output", tmp_path / "two", PYTHONHASHSEED="1", TZ="UTC", LC_ALL="C.UTF-8")
    assert again.returncode == 0
    assert files_of(tmp_path / "two") == files


@pytest.mark.skipif(REFERENCE is None, reason="needs the reference data")
def test_real_data_from_both_sources(tmp_path):
    atomic = Path(REFERENCE) / "data/ml-100k"
    done = prepare("--from", atomic, "--output", tmp_path / "one")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the data files are identical to those of RecBole" in done.stdout
    table = [line.split() for line in done.stdout.splitlines()[-6:]]
    assert table == [
        ["horror", "92", "5317", "9/55", "22/100", "37/201", "74/500"],
        ["crime", "109", "8055", "4/50", "11/97", "27/202", "64/496"],
        ["war", "71", "9398", "6/55", "10/90", "14/209", "52/503"],
        ["childrens", "122", "7182", "2/59", "10/101", "23/200", "53/502"],
        ["tuning_war", "70", "9366", "6/55", "10/90", "14/208", "53/500"],
        ["tuning_crime", "106", "7721", "5/47", "14/105", "24/197", "63/504"],
    ]
    rows = rows_of_sets(files_of(tmp_path / "one"))
    for category in {category for category, _, _ in rows}:
        for seed in (2, 3, 5, 7, 11):
            own = [rows[category, seed, fraction] for fraction in (0.0005, 0.001, 0.002, 0.005)]
            assert all(small < large for small, large in pairwise(own))
    tuned, reported = (
        set.union(*(own for (category, _, _), own in rows.items() if category in wanted))
        for wanted in (("tuning_war", "tuning_crime"), ("horror", "childrens"))
    )
    assert tuned and reported and not tuned & reported
    again = prepare("--output", tmp_path / "one")  # the data is there: nothing is fetched
    assert f"using the data in {tmp_path / 'one'}" in again.stdout
    rebuilt = tmp_path / "rebuilt"
    rebuilt.mkdir()
    (rebuilt / "u.data").write_bytes((atomic / "ml-100k.inter").read_bytes().partition(b"\n")[2])
    (rebuilt / "u.user").write_bytes((atomic / "ml-100k.user").read_bytes().partition(b"\n")[2].replace(b"\t", b"|"))
    (rebuilt / "u.item").write_bytes("\n".join(grouplens_items(atomic / "ml-100k.item")).encode("latin-1"))
    assert prepare("--from", rebuilt, "--output", tmp_path / "two").returncode == 0
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")


def rows_of_sets(files):
    """Return the rows of each forget set, by category, seed and fraction."""
    form = re.compile(r"ml-100k_unlearn_pairs_sensitive_category_(\w+)_seed_(\d+)_unlearning_fraction_(\S+)\.inter")
    found = {form.fullmatch(name): content for name, content in files.items()}
    return {
        (match[1], int(match[2]), float(match[3])): set(content.splitlines()[1:])
        for match, content in found.items()
        if match
    }


def grouplens_items(path):
    """Yield the lines of GroupLens's u.item, as far as the atomic item file determines them."""
    order = "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror"
    order = [*order.split(), "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"]
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        movie, title, year, genres = line.split("\t")
        title = "unknown" if title == "unkonwn" else f"{title} ({year})"
        yield "|".join([movie, title, "", "", "", *(str(int(genre in genres.split(" "))) for genre in order)])


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("u.data", b"\t881250950\n", b"\n", "error: u.data:2: expected 4 values, found 3"),
        ("u.data", b"\t881250950\n", b"\tsoon\n", "error: u.data:2: value 4, 'soon', is not a whole number"),
        ("u.data", b"\t1\t881250949\n", b"\t6\t881250949\n", "u.data:1: value 3, '6', is not a rating from 1 to 5"),
        ("u.item", b"|1|", b"|2|", "error: u.item:1: value 11, '2', is not 0 or 1"),
        ("u.item", b"2|Mis", b"2|a|Mis", "error: u.item:2: expected 24 values, found 25"),
        ("u.user", b"1|24", b"x|24", "error: u.user:1: value 1, 'x', is not a whole number"),
        ("u.user", None, None, "contains neither ml-100k.inter, ml-100k.item, ml-100k.user nor u.data, u.item, u.user"),
    ],
)
def test_errors_leave_no_files(source, tmp_path, monkeypatch, capsys, name, old, new, message):
    if old is None:
        (source / name).unlink()
    else:
        (source / name).write_bytes((source / name).read_bytes().replace(old, new, 1))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--from", str(source), "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_subset_of_the_users(source, tmp_path):
    assert prepare("--from", source, "--output", tmp_path / "out").returncode == 0
    done = prepare("--from", source, "--output", tmp_path / "some", "--subset", "0.5", "--seed", 3)
    assert (done.returncode, done.stderr) == (0, "")
    all_files, files = files_of(tmp_path / "out"), files_of(tmp_path / "some")
    rows = files["ml-100k_test.inter"].splitlines()
    people = {row.split(b"\t")[0] for row in rows[1:]}
    assert len(people) == 20
    assert rows[1:] == [row for row in all_files["ml-100k.inter"].splitlines() if row.split(b"\t")[0] in people]
    assert files["ml-100k_test.item"] == all_files["ml-100k.item"]
    assert files["ml-100k_test.user"] == all_files["ml-100k.user"]
    assert len(files) == len(all_files)


@pytest.mark.parametrize(
    ("name", "old", "new", "more", "message"),
    [
        ("ml-100k.inter", b"\t881250950\n", b"\n", (), "ml-100k.inter:3: expected 4 tab-separated values, found 3"),
        ("ml-100k.inter", b"\t881250950\n", b"\tnoon\n", (), "ml-100k.inter:3: column 'timestamp': 'noon' is not a"),
        ("ml-100k.user", b"2\t24", b"2", (), "ml-100k.user:3: expected 5 tab-separated values, found 4"),
        (
            "ml-100k.item",
            b"Horror",
            b"Drama",
            ("--rating_threshold", "5.5"),
            "should be between 1 and 5, as the ratings of ml-100k, not 5.5",
        ),
        ("ml-100k.item", b"Children's", b"Drama", (), "no item in the data belongs to the category 'childrens'"),
    ],
)
def test_an_error_does_not_change_existing_files(source, tmp_path, name, old, new, more, message):
    assert prepare("--from", source, "--output", tmp_path / "out").returncode == 0
    before = files_of(tmp_path / "out")
    given = tmp_path / "given"
    given.mkdir()
    for file in ("ml-100k.inter", "ml-100k.item", "ml-100k.user"):
        content = before[file].replace(old, new, 1) if file == name else before[file]
        (given / file).write_bytes(content)
    assert (given / name).read_bytes() != before[name]
    done = prepare("--from", given, "--output", tmp_path / "out", *more)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert str(tmp_path / "out") not in done.stderr
    assert files_of(tmp_path / "out") == before


def test_an_error_is_one_line_with_status_2(tmp_path):
    done = prepare("--from", tmp_path / "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path / 'nowhere'} contains neither ")
    assert done.stderr.count("\n") == 1


def test_the_help_shows_examples():
    done = prepare("--help")
    assert done.returncode == 0
    assert "--from DIR" in done.stdout
    assert "sensitive_asins_<category>.txt" in done.stdout
