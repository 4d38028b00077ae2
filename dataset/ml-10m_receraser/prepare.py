"""Prepare the data set ml-10m_receraser (MovieLens 10M in the split that RecEraser published) and its forget sets.

    python dataset/ml-10m_receraser/prepare.py              downloads the files of the split
    python dataset/ml-10m_receraser/prepare.py --from DIR   uses train.txt, valid.txt and test.txt in DIR
    python dataset/ml-10m_receraser/prepare.py --subset 0.1 writes ml-10m_receraser_test with 10 % of the users

The script writes the split (ml-10m_receraser.train.inter, .valid.inter and .test.inter; .train_all.inter is training
and validation together), all rows (ml-10m_receraser.inter), the items of two synthetic sensitive categories
(sensitive_asins_<category>.txt, one item id per line) and the forget sets
(ml-10m_receraser_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
The category middling is for results, the category tuning for choosing hyper-parameters on other items.
Without valid.txt, a tenth of the rows of train.txt is used for validation. The same data give the same files. The data
are GroupLens's; README.md states their terms of use.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recbole.prepare import program, steps, user_lists

HERE = Path(__file__).resolve().parent
COMMIT = "8ae096641c2165f99310be221dbe0b22552ea6e4"
FOLDER = f"https://raw.githubusercontent.com/chenchongthu/Recommendation-Unlearning/{COMMIT}/data/ml-10m"
CATEGORY_SEEDS = {"middling": 2026, "tuning": 2027}


def main():
    """Read the files of the split, and write the data set with its categories and forget sets."""
    wanted = ", ".join(user_lists.LISTS)
    options = steps.command_line(__doc__, HERE, wanted)
    source = steps.source_folder(options, HERE, wanted, {name: f"{FOLDER}/{name}" for name in user_lists.LISTS})
    user_lists.prepare(options, source, {}, CATEGORY_SEEDS)


if __name__ == "__main__":
    program.run(main)
