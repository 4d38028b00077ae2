"""Prepare the data set yelp2018 (Yelp 2018 in the split of NGCF and LightGCN) and its forget sets.

    python dataset/yelp2018/prepare.py              downloads the files of the split
    python dataset/yelp2018/prepare.py --from DIR   uses train.txt and test.txt in DIR
    python dataset/yelp2018/prepare.py --subset 0.1 writes yelp2018_test with 10 % of the users

The script writes the split (yelp2018.train.inter, .valid.inter and .test.inter; .train_all.inter is training and
validation together), all rows (yelp2018.inter), the items of two synthetic sensitive categories
(sensitive_asins_<category>.txt, one item id per line) and the forget sets
(yelp2018_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.inter).
The category middling is for results, the category tuning for choosing hyper-parameters on other items.
The same data give the same files. The data are Yelp's; README.md states their terms of use.
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
    """Read the files of the split, and write the data set with its categories and forget sets."""
    options = steps.command_line(__doc__, HERE, ", ".join(FILES))
    source = steps.source_folder(options, HERE, ", ".join(FILES), {name: f"{FOLDER}/{name}" for name in FILES})
    user_lists.prepare(options, source, {}, CATEGORY_SEEDS)


if __name__ == "__main__":
    program.run(main)
