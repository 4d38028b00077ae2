"""Prepare the data set movielens (MovieLens 20M, 5-core) and its forget sets.

    python dataset/movielens/prepare.py                 downloads GroupLens's archive (about 190 MB)
    python dataset/movielens/prepare.py --from DIR      uses files that you have

DIR contains rating.csv, movie.csv and tag.csv (Kaggle's form) or ratings.csv, movies.csv and tags.csv (GroupLens's
form), plain or as .gz, or the archive ml-20m.zip. The script writes movielens.inter, the films of each sensitive
category (sensitive_asins_<category>.txt) and the forget sets
(movielens_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pyarrow as pa
import pyarrow.compute as pc

from recbole.prepare import program, steps
from recbole.prepare.download import unpack
from recbole.prepare.raw_files import find
from recbole.prepare.raw_table import RawTable
from recbole.prepare.sensitive_rules import SensitiveRules
from recbole.prepare.table_readers import read_csv
from recbole.utils.staging import workspace

HERE = Path(__file__).resolve().parent
WANTED = "rating.csv, movie.csv, tag.csv (Kaggle's form of ML-20M) or ratings.csv, movies.csv, tags.csv (GroupLens's)"
ARCHIVE = "ml-20m.zip"
URL = f"https://files.grouplens.org/datasets/movielens/{ARCHIVE}"
MEMBERS = ("ml-20m/ratings.csv", "ml-20m/movies.csv", "ml-20m/tags.csv")
CORE = 5
RATINGS = (0.5, 5)


def main():
    """Unpack the archive, if there is one, and convert its files."""
    options = steps.command_line(__doc__, HERE, WANTED, RATINGS)
    source = steps.source_folder(options, HERE, WANTED, {ARCHIVE: URL})
    if (source / ARCHIVE).is_file() and not all((source / Path(member).name).is_file() for member in MEMBERS):
        with workspace(options.output) as folder:
            unpack(source / ARCHIVE, MEMBERS, folder)
            convert(options, folder)
    else:
        convert(options, source)


def convert(options, source):
    """Convert the tables in a folder, find the sensitive films, and write the data set and its forget sets."""
    categories = sensitive_films(source)
    log = RawTable.collect(ratings(source), ("user_id", "item_id"), ("rating", "timestamp"))
    read = log.counts()
    log = log.distinct().ordered().core(CORE)
    steps.write_log(options, "CF", log, steps.shared_items(categories, log.items(), HERE / "sensitive.yaml"), read)


def ratings(source):
    """Yield the ratings in blocks, as dicts of Arrow arrays, with the time in seconds since 1970, UTC."""
    path = find(source, "rating.csv", "ratings.csv")
    time = pa.timestamp("s") if path.name.startswith("rating.csv") else pa.int64()
    types = {"userId": pa.string(), "movieId": pa.string(), "rating": pa.float64(), "timestamp": time}
    for batch in read_csv(path, types):
        yield {
            "user_id": batch["userId"],
            "item_id": batch["movieId"],
            "rating": batch["rating"],
            "timestamp": pc.cast(batch["timestamp"], pa.int64()),
        }


def sensitive_films(source):
    """Return a dict from each sensitive category to its films, found by title, genres and users' tags."""
    rules = SensitiveRules(HERE / "sensitive.yaml")
    text = pa.string()
    films = {"movieId": text, "title": text, "genres": text}
    for batch in read_csv(find(source, "movie.csv", "movies.csv"), films, optional=("title", "genres")):
        rules.look(batch["movieId"], title=batch["title"], genre=batch["genres"])
    for batch in read_csv(find(source, "tag.csv", "tags.csv"), {"movieId": text, "tag": text}, optional=("tag",)):
        rules.look(batch["movieId"], tag=batch["tag"])
    return rules.items()


if __name__ == "__main__":
    program.run(main)
