"""Take MovieLens 10M in the split that RecEraser published, mark synthetic categories, and draw the forget sets.

    python dataset/ml-10m_receraser/prepare.py              fetches the lists
    python dataset/ml-10m_receraser/prepare.py --from DIR   uses the files that you have: train.txt, valid.txt, test.txt
    python dataset/ml-10m_receraser/prepare.py --subset 0.1 writes ml-10m_receraser_test beside it: 10 % of the people

It writes the split (ml-10m_receraser.train.inter, .valid.inter, .test.inter, and .train_all.inter, which
is train and valid together), all rows (ml-10m_receraser.inter), the items of two synthetic categories
(sensitive_asins_<category>.txt, one id per line; middling, and for tuning, tuning) and the forget sets
(ml-10m_receraser_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
Without valid.txt a tenth of train is for validation. Running it again gives the same files. The data is
GroupLens's: see README.md for its terms.
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
    """Take the lists, and write the data with the categories and the forget sets."""
    wanted = ", ".join(user_lists.LISTS)
    options = steps.command_line(__doc__, HERE, wanted)
    source = steps.source_folder(options, HERE, wanted, {name: f"{FOLDER}/{name}" for name in user_lists.LISTS})
    user_lists.prepare(options, source, {}, CATEGORY_SEEDS)


if __name__ == "__main__":
    program.run(main)
