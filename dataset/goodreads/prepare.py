"""Prepare the data set goodreads (UCSD Book Graph, ratings of 3 or better, 5-core) and its forget sets.

    python dataset/goodreads/prepare.py                 downloads the three files (several GB)
    python dataset/goodreads/prepare.py --from DIR      uses files that you have

DIR contains goodreads_interactions.csv, book_id_map.csv and goodreads_books.json, plain or as .gz. The script writes
goodreads.inter, the books of each sensitive category (sensitive_asins_<category>.txt) and the forget sets
(goodreads_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.prepare import program, steps
from recbole.prepare.raw_files import find
from recbole.prepare.raw_table import RawTable
from recbole.prepare.sensitive_rules import SensitiveRules
from recbole.prepare.table_readers import read_csv, read_json_lines

HERE = Path(__file__).resolve().parent
WANTED = "goodreads_interactions.csv, book_id_map.csv, goodreads_books.json (plain, or as .gz)"
URL = "https://mcauleylab.ucsd.edu/public_datasets/gdrive/goodreads"
FILES = ("goodreads_interactions.csv", "book_id_map.csv", "goodreads_books.json.gz")
CORE = 5
LEAST_RATING = 3
RATINGS = (1, 5)
BOOK = pa.schema(
    {
        "book_id": pa.string(),
        "title": pa.string(),
        "description": pa.string(),
        "popular_shelves": pa.list_(pa.struct({"name": pa.string()})),
    }
)


def main():
    """Convert the ratings, find the sensitive books, and write the data set and its forget sets."""
    options = steps.command_line(__doc__, HERE, WANTED, RATINGS)
    source = steps.source_folder(options, HERE, WANTED, {name: f"{URL}/{name}" for name in FILES})
    categories, n_books = sensitive_books(source)
    read = {"interactions": 0, "items": n_books}
    log = RawTable.collect(ratings(source, read), ("user_id", "item_id"), ("rating", "timestamp"))
    log = log.ordered().core(CORE)
    steps.write_log(options, "CF", log, steps.shared_items(categories, log.items(), HERE / "sensitive.yaml"), read)


def ratings(source, read):
    """Yield the ratings of 3 or better in blocks, as dicts of Arrow arrays.

    The file has no times, so the timestamp of a rating is its row number in the file, from 0. ``read["interactions"]``
    is set to the number of rows read so far, of any rating.
    """
    types = {"user_id": pa.string(), "book_id": pa.string(), "rating": pa.int64()}
    place = 0
    for batch in read_csv(find(source, "goodreads_interactions.csv"), types):
        kept = pc.greater_equal(batch["rating"], LEAST_RATING)
        yield {
            "user_id": batch["user_id"].filter(kept),
            "item_id": batch["book_id"].filter(kept),
            "rating": batch["rating"].filter(kept),
            "timestamp": pa.array(np.arange(place, place + len(batch))).filter(kept),
        }
        place += len(batch)
        read["interactions"] = place


def sensitive_books(source):
    """Return a dict from each sensitive category to its books (ids as in the ratings), and the number of all books.

    The descriptions of books have other ids than the ratings; book_id_map.csv maps one to the other.
    """
    rules = SensitiveRules(HERE / "sensitive.yaml")
    for batch in read_json_lines(find(source, "goodreads_books.json"), BOOK, BOOK.names[1:]):
        shelves = batch["popular_shelves"]
        names = pa.ListArray.from_arrays(shelves.offsets, pc.struct_field(shelves.values, "name"))
        rules.look(batch["book_id"], title=batch["title"], description=batch["description"], shelf=names)
    types = {"book_id_csv": pa.string(), "book_id": pa.string()}
    ids = pa.Table.from_batches(list(read_csv(find(source, "book_id_map.csv"), types)))
    books_of = {
        category: ids["book_id_csv"].filter(pc.is_in(ids["book_id"], books)).combine_chunks()
        for category, books in rules.items().items()
    }
    return books_of, len(ids)


if __name__ == "__main__":
    program.run(main)
