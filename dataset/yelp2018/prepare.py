"""Take Yelp 2018 in the split of NGCF and LightGCN, mark synthetic categories, and draw the forget sets.

    python dataset/yelp2018/prepare.py              fetches the lists
    python dataset/yelp2018/prepare.py --from DIR   uses the files that you have: train.txt, test.txt
    python dataset/yelp2018/prepare.py --subset 0.1 writes yelp2018_test beside it: 10 % of the people

It writes the split (yelp2018.train.inter, .valid.inter, .test.inter, and .train_all.inter, which is
train and valid together), all rows (yelp2018.inter), the items of two synthetic categories
(sensitive_asins_<category>.txt, one id per line; middling, and for tuning, tuning) and the forget sets
(yelp2018_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
Running it again gives the same files. The data is Yelp's: see README.md for its terms.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recbole.prepare import program, steps, user_lists

HERE = Path(__file__).resolve().parent
COMMIT = "ae21737f61af8bdb068549a1ffb9e7a4ba8d5413"
FOLDER = f"https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch/{COMMIT}/data/yelp2018"
FILES = (user_lists.TRAIN, user_lists.TEST)
CATEGORY_SEEDS = {"middling": 2018, "tuning": 2019}


def main():
    """Take the lists, and write the data with the categories and the forget sets."""
    options = steps.command_line(__doc__, HERE, ", ".join(FILES))
    source = steps.source_folder(options, HERE, ", ".join(FILES), {name: f"{FOLDER}/{name}" for name in FILES})
    user_lists.prepare(options, source, {}, CATEGORY_SEEDS)


if __name__ == "__main__":
    program.run(main)
