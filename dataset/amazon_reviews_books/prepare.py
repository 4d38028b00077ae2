"""Prepare the data set amazon_reviews_books (Amazon Reviews 2023, 5-core, cut into sessions) and its forget sets.

    python dataset/amazon_reviews_books/prepare.py                 downloads the two files (many GB)
    python dataset/amazon_reviews_books/prepare.py --from DIR      uses files that you have

DIR contains Books.jsonl and meta_Books.jsonl, plain or as .gz. The script writes amazon_reviews_books.inter, the books
of each sensitive category (sensitive_asins_<category>.txt) and the forget sets
(amazon_reviews_books_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recbole.prepare import amazon, program, steps

HERE = Path(__file__).resolve().parent
CATEGORY = "Books"
TEXTS = {
    "title": ("title",),
    "description": ("description",),
    "category": ("main_category", "categories"),
    "features": ("features", "details"),
}
CORE = 5
LONGEST_PAUSE = 3600 * 1000  # milliseconds between two reviews of the same session


def main():
    """Convert the reviews, cut them into sessions, find the sensitive books, and write the data set and forget sets."""
    wanted = " and ".join(amazon.file_names(CATEGORY))
    options = steps.command_line(__doc__, HERE, wanted, amazon.RATINGS)
    source = steps.source_folder(options, HERE, wanted, amazon.urls(CATEGORY))
    log, categories, read = amazon.read(source, CATEGORY, HERE / "sensitive.yaml", TEXTS, CORE)
    steps.write_log(options, "SBR", log.with_sessions(LONGEST_PAUSE), categories, read)


if __name__ == "__main__":
    program.run(main)
