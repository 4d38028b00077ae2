"""Prepare the data set ml-100k (MovieLens 100K, with four genres as sensitive categories) and its forget sets.

    python dataset/ml-100k/prepare.py                 downloads the data
    python dataset/ml-100k/prepare.py --from DIR      uses files that you have
    python dataset/ml-100k/prepare.py --subset 0.1    writes ml-100k_test with 10 % of the users

The script writes ml-100k.inter, .item and .user (RecBole's atomic files), the films of each sensitive category
(sensitive_asins_<category>.txt, one item id per line) and the forget sets
(ml-100k_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
The categories are horror, crime, war and childrens. For choosing hyper-parameters on other films than those of the
reported categories horror and childrens, there are also tuning_war and tuning_crime: the films of these two genres
that are neither horror nor children's.
The same data give the same files. The data are GroupLens's; README.md states their terms of use.
"""

import re
import sys
import tempfile
from itertools import compress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recbole.data.atomic import read_atomic, write_atomic
from recbole.generators.raw_log import RawInteractions
from recbole.prepare import program, small_sources, steps
from recbole.utils import UserError, sha256_of_file

HERE = Path(__file__).resolve().parent
NAME = "ml-100k"
RATINGS = (1, 5)
RATING = re.compile("[1-5]"), "a rating from 1 to 5"
FLAG = re.compile("[01]"), "0 or 1"
GENRE_OF = {"horror": "horror", "crime": "crime", "war": "war", "childrens": "children's"}
REPORTED = ("horror", "childrens")
TUNED_ON = ("war", "crime")
FRACTIONS = (0.0005, 0.001, 0.002, 0.005)
ATOMIC = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
}
GROUPLENS = ("u.data", "u.item", "u.user")
PACKAGE = "recbole==1.2.1"
IN_PACKAGE = "recbole/dataset_example/ml-100k/"
URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
GENRES = (  # in the order of u.item's flags
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
INTER = "user_id:token item_id:token rating:float timestamp:float"
ITEM = "item_id:token movie_title:token_seq release_year:token class:token_seq"
USER = "user_id:token age:token gender:token occupation:token zip_code:token"
ADVICE = f"put {', '.join(GROUPLENS)} (or {', '.join(ATOMIC)}) into a folder and pass it with --from DIR"


def main():
    """Download or convert the data, and write them, or a subset, with the item lists and the forget sets."""
    wanted = f"{', '.join(GROUPLENS)}, or with {', '.join(ATOMIC)}"
    options = steps.command_line(__doc__, HERE, wanted, RATINGS)
    with tempfile.TemporaryDirectory() as folder:
        source = atomic_files(options, Path(folder))
        same = all(sha256_of_file(source / name) == sha256 for name, sha256 in ATOMIC.items())
        program.say(f"the data files are {'' if same else 'NOT '}identical to those of RecBole")
        log = RawInteractions(source / f"{NAME}.inter")
        for name in ATOMIC:
            read_atomic(source / name)  # reports a malformed value in any column
        categories = mark(by_genre(source / f"{NAME}.item"))
        steps.write_rows(options, "CF", log, categories, FRACTIONS, (".item", ".user"))


def atomic_files(options, folder):
    """Return the folder of the atomic files: the output folder or that of ``--from``, if they contain them already.

    Otherwise the files are downloaded or converted, and written to ``folder``.
    """
    source = options.source
    if source is None:
        for there in dict.fromkeys((options.output, HERE)):
            if all((there / name).is_file() and sha256_of_file(there / name) == ATOMIC[name] for name in ATOMIC):
                program.say(f"using the data in {there}")
                return there
        small_sources.from_first({PACKAGE: lambda: from_package(folder), URL: lambda: from_grouplens(folder)}, ADVICE)
        return folder
    if all((source / name).is_file() for name in ATOMIC):
        program.say(f"using the atomic files in {source}")
        return source
    if all((source / name).is_file() for name in GROUPLENS):
        program.say(f"converting GroupLens's files in {source}")
        convert({name: (source / name).read_bytes() for name in GROUPLENS}, folder)
        return folder
    raise UserError(f"{source} contains neither {', '.join(ATOMIC)} nor {', '.join(GROUPLENS)}")


def from_package(folder):
    """Write the example data in the Python package (wheel) of RecBole to ``folder``."""
    members = {f"{IN_PACKAGE}{name}": sha256 for name, sha256 in ATOMIC.items()}
    for path, content in small_sources.fetch_from_package(PACKAGE, members).items():
        (folder / Path(path).name).write_bytes(content)


def from_grouplens(folder):
    """Download GroupLens's archive, convert its files, and write them to ``folder``."""
    content = small_sources.fetch_from_url(URL, {f"{NAME}/{name}": None for name in GROUPLENS}, HERE / "raw")
    convert({Path(path).name: value for path, value in content.items()}, folder)


def convert(files, folder):
    """Convert GroupLens's files (a dict from name to bytes) to atomic files in ``folder``."""
    whole, genres = small_sources.WHOLE, range(5, 5 + len(GENRES))
    ratings = columns(files, "u.data", "\t", 4, {0: whole, 1: whole, 2: RATING, 3: whole})
    movies = columns(files, "u.item", "|", 5 + len(GENRES), {0: whole, **dict.fromkeys(genres, FLAG)})
    users = columns(files, "u.user", "|", 5, {0: whole})
    titles, years = zip(*map(split_title, movies[1]), strict=True)
    classes = [list(compress(GENRES, map(int, flags))) for flags in zip(*movies[5:], strict=True)]
    write(folder, "inter", INTER, ratings)
    write(folder, "item", ITEM, [movies[0], titles, years, classes])
    write(folder, "user", USER, users)


def columns(files, name, *form):
    """Parse one of GroupLens's files (in Latin-1) and return its columns, see `small_sources.columns`."""
    return small_sources.columns(files[name].decode("latin-1"), name, *form)


def split_title(title):
    """Split a title such as ``Toy Story (1995)`` into its words (list of str) and the text in the last parentheses.

    One film has the title ``unknown`` and no year. RecBole's files call it ``unkonwn``, and so does this function, so
    that both sources give the same bytes.
    """
    if title == "unknown":
        return ["unkonwn"], "unkonwn"
    words, year = re.fullmatch(r"(.*?)(?: \(([^()]*)\))?\s*", title).groups()
    return words.split(), year


def write(folder, kind, header, values):
    """Write the atomic file of a kind (``inter``, ``item`` or ``user``), given its typed header and its columns."""
    types = dict(column.split(":") for column in header.split())
    write_atomic(folder / f"{NAME}.{kind}", dict(zip(types, values, strict=True)), types)


def by_genre(path):
    """Return a dict from each genre in lower case to the ids (str) of its films, read from the ``.item`` file."""
    table = read_atomic(path, ["item_id", "class"]).table
    movies = {}
    for movie, genres in zip(table["item_id"].to_pylist(), table["class"].to_pylist(), strict=True):
        for genre in genres:
            movies.setdefault(genre.lower(), []).append(movie)
    return movies


def mark(movies):
    """Return a dict from each sensitive category to its films: the genres, and the categories for tuning.

    The categories for tuning contain the films of the genres `TUNED_ON` that are not in `REPORTED`. So
    hyper-parameters are chosen without any row of the reported categories.
    """
    categories = {category: movies.get(genre, []) for category, genre in GENRE_OF.items()}
    reported = {movie for category in REPORTED for movie in categories[category]}
    tuning = {f"tuning_{category}": [m for m in categories[category] if m not in reported] for category in TUNED_ON}
    return categories | tuning


if __name__ == "__main__":
    program.run(main)
