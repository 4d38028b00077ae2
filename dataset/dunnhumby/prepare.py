"""Prepare the data set dunnhumby (The Complete Journey) and its forget sets.

    python dataset/dunnhumby/prepare.py --from DIR

DIR contains transaction_data.csv and product.csv, plain or as .gz (README.md says where to get them). The script writes
dunnhumby_merged.json, the products of the sensitive category (sensitive_asins_alcohol.txt) and the forget sets
(dunnhumby_unlearn_pairs_sensitive_category_alcohol_seed_<s>_unlearning_fraction_<f>.json).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pyarrow as pa

from recbole.generators.basket_files import build_baskets, first_stranger, item_tokens
from recbole.prepare import program, steps
from recbole.prepare.raw_files import find, line_of_row
from recbole.prepare.sensitive_rules import SensitiveRules
from recbole.prepare.table_readers import read_csv
from recbole.utils import UserError

HERE = Path(__file__).resolve().parent
WANTED = "transaction_data.csv and product.csv"
LEAST_BASKETS = 4
COUNTED = ("users", "baskets", "items")
PURCHASE = dict.fromkeys(("household_key", "BASKET_ID", "PRODUCT_ID", "DAY", "TRANS_TIME"), pa.int64())
PRODUCT = {"PRODUCT_ID": pa.string(), "DEPARTMENT": pa.string(), "COMMODITY_DESC": pa.string()}


def main():
    """Build the baskets, find the sensitive products, and write the data set and its forget sets."""
    options = steps.command_line(__doc__, HERE, WANTED)
    source = steps.source_folder(options, HERE, WANTED)
    rules = SensitiveRules(HERE / "sensitive.yaml")
    for batch in read_csv(find(source, "product.csv"), PRODUCT, optional=("DEPARTMENT", "COMMODITY_DESC")):
        rules.look(batch["PRODUCT_ID"], department=batch["DEPARTMENT"], commodity=batch["COMMODITY_DESC"])
    baskets, read = read_baskets(find(source, "transaction_data.csv"))
    baskets = baskets.with_at_least(LEAST_BASKETS)
    categories = steps.shared_items(rules.items(), item_tokens(baskets), HERE / "sensitive.yaml")
    steps.write_merged(options, baskets, categories, read=read)


def read_baskets(path):
    """Read the purchases; return their baskets, and a dict with the counts of the file, before any filter.

    Raises:
        UserError: the file is malformed, or a basket belongs to several households.
    """
    purchases = read_csv(path, PURCHASE, least=0)
    columns = zip(*([batch[name].to_numpy() for name in PURCHASE] for batch in purchases), strict=True)
    household, basket, *others = map(np.concatenate, columns)
    row = first_stranger(household, basket)
    if row is not None:
        raise UserError(
            f"{path}:{line_of_row(path, row)}: column 'household_key': basket {basket[row]} of household "
            f"{household[row]} belongs to another household in an earlier line"
        )
    read = {name: len(np.unique(column)) for name, column in zip(COUNTED, (household, basket, others[0]), strict=True)}
    return build_baskets(household, basket, *others), {"interactions": len(household), **read}


if __name__ == "__main__":
    program.run(main)
