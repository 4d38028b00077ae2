"""Prepare the data set amazon_reviews_grocery_and_gourmet_food (Amazon Reviews 2023, 5-core) and its forget sets.

    python dataset/amazon_reviews_grocery_and_gourmet_food/prepare.py              downloads the two files (several GB)
    python dataset/amazon_reviews_grocery_and_gourmet_food/prepare.py --from DIR   uses files that you have

DIR contains Grocery_and_Gourmet_Food.jsonl and meta_Grocery_and_Gourmet_Food.jsonl, plain or as .gz. The script writes
the .inter file, the products of each sensitive category (sensitive_asins_<category>.txt) and the forget sets
(<name>_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recbole.prepare import amazon, program, steps

HERE = Path(__file__).resolve().parent
CATEGORY = "Grocery_and_Gourmet_Food"
TEXTS = {"text": ("main_category", "categories", "title", "description", "features", "details", "store")}
CORE = 5


def main():
    """Convert the reviews, find the sensitive products, and write the data set and its forget sets."""
    wanted = " and ".join(amazon.file_names(CATEGORY))
    options = steps.command_line(__doc__, HERE, wanted, amazon.RATINGS)
    source = steps.source_folder(options, HERE, wanted, amazon.urls(CATEGORY))
    log, categories, read = amazon.read(source, CATEGORY, HERE / "sensitive.yaml", TEXTS, CORE)
    steps.write_log(options, "CF", log, categories, read)


if __name__ == "__main__":
    program.run(main)
