"""Prepare the data set tafeng (the Ta-Feng baskets) and its forget sets.

    python dataset/tafeng/prepare.py                         downloads the baskets
    python dataset/tafeng/prepare.py --from DIR              uses a file that you have: DIR/tafeng_merged.json
    python dataset/tafeng/prepare.py --subset 1000 --seed 2  writes tafeng_1000 with 1,000 users
    python dataset/tafeng/prepare.py --subset 0.01 --seed 2  writes tafeng_test with 1 % of the users

The script writes tafeng_merged.json ({user: [[item, ...], ...]}, the oldest basket first), the items of two synthetic
sensitive categories (sensitive_asins_<category>.txt, one item id per line) and the forget sets
(tafeng_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.json, lists of users).
The category middling is for results, the category tuning for choosing hyper-parameters on other items. In
middling_repeated and tuning_repeated, users request only items of these categories that are in at least two of their
baskets; these forget sets are pairs of user and item (.inter).
The same data give the same files. The data are Ta-Feng's; README.md states their terms of use.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from recbole.data.baskets import read_baskets
from recbole.prepare import program, steps
from recbole.prepare.synthetic_categories import draw_categories, middle_ranks
from recbole.utils import UserError, sha256_of_file

HERE = Path(__file__).resolve().parent
NAME = "tafeng"
FILE = f"{NAME}_merged.json"
SHA256 = "a918a2afeb7f3541a28673fcbd22632c1554080d81ef18e2d6dc3c9cf8e6ae6f"
COMMIT = "0a04cb84ac6cb4fcc27da3b03b0a8ef534a81512"
REPOSITORY = "liming-7/A-Next-Basket-Recommendation-Reality-Check"
URL = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/mergeddataset/{FILE}"
LEAST_BASKETS = 4
FRACTIONS = (0.0005, 0.001, 0.002, 0.005)
CATEGORY_SEEDS = {"middling": 2020, "tuning": 2021}
RANKS = (0.1, 0.3)
SHARE = 0.1


def main():
    """Read the baskets, and write them, or a subset, with the item lists and the forget sets."""
    options = steps.command_line(__doc__, HERE, FILE, by_number=True)
    if options.source is None:
        options.source = next((there for there in (options.output, HERE) if (there / FILE).is_file()), None)
    path = steps.source_folder(options, HERE, FILE, {FILE: URL}, {FILE: SHA256}) / FILE
    baskets = read_baskets(path)
    known = sha256_of_file(path) == SHA256
    program.say(f"{FILE} is {'' if known else 'NOT '}identical to the published file: {describe(baskets)}")
    baskets = baskets.distinct().with_at_least(LEAST_BASKETS)
    if not baskets.users:
        raise UserError(f"{path}: no user has {LEAST_BASKETS} baskets or more")
    candidates = middle_ranks(baskets.items, *RANKS)
    categories = draw_categories(candidates, max(int(len(candidates) * SHARE), 1), CATEGORY_SEEDS)
    steps.write_merged(options, baskets, categories, FRACTIONS, as_given=path, repeated=True)


def describe(baskets):
    """Return text with the numbers of users, baskets and items."""
    return (
        f"{len(baskets.users):,} users, {len(baskets.items_per_basket):,} baskets, "
        f"{len(baskets.items):,} items in them, {len(np.unique(baskets.items)):,} different ones"
    )


if __name__ == "__main__":
    program.run(main)
