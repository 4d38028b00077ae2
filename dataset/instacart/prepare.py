"""Prepare the data set instacart (Instacart 2017, the tenth of the users with the smallest ids) and its forget sets.

    python dataset/instacart/prepare.py --from DIR

DIR contains orders.csv, order_products__prior.csv, order_products__train.csv and products.csv, plain or as .gz
(README.md says where to get them). The script writes instacart_merged.json, the products of each sensitive category
(sensitive_asins_<category>.txt) and the forget sets
(instacart_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.json).
"""

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pyarrow as pa

from recbole.generators.basket_files import build_baskets, item_tokens, keep_frequent, of_users
from recbole.prepare import program, steps
from recbole.prepare.raw_files import find, line_of_row
from recbole.prepare.sensitive_rules import SensitiveRules
from recbole.prepare.table_readers import read_csv
from recbole.utils import UserError

HERE = Path(__file__).resolve().parent
WANTED = "orders.csv, order_products__prior.csv, order_products__train.csv, products.csv"
USERS = 0.1
BASKETS = (3, 50)
LEAST_PURCHASES = 17


def main():
    """Build the baskets, find the sensitive products, and write the data set and its forget sets."""
    options = steps.command_line(__doc__, HERE, WANTED)
    source = steps.source_folder(options, HERE, WANTED)
    rules = SensitiveRules(HERE / "sensitive.yaml")
    read = Counter()
    for batch in read_csv(find(source, "products.csv"), {"product_id": pa.int64(), "aisle_id": pa.int64()}):
        rules.look(batch["product_id"], aisle=batch["aisle_id"])
        read["products"] += len(batch)
    baskets = read_baskets(source, read)
    least, most = BASKETS
    baskets = of_users(baskets, (baskets.baskets_per_user >= least) & (baskets.baskets_per_user <= most))
    baskets = keep_frequent(baskets, LEAST_PURCHASES)
    categories = steps.shared_items(rules.items(), item_tokens(baskets), HERE / "sensitive.yaml")
    steps.write_merged(options, baskets, categories, read=read)


def read_baskets(source, read):
    """Return the orders of the first tenth of the users as baskets, with products in the order of their addition.

    ``read`` is a `Counter` to which the numbers of all users, orders and interactions (products in orders) are added.
    """
    orders, owner, number = read_orders(find(source, "orders.csv"), read)
    place, product, position = read_products(source, orders, read)
    rows = np.lexsort((position, place))
    place, product = place[rows], product[rows]
    return build_baskets(owner[place], orders[place], product, number[place])


def read_orders(path, read):
    """Read the orders of the first tenth of the users.

    Returns:
        Three int64 arrays [orders], ascending by the first: the order's id, its user, and its number in the user's
        sequence of orders.

    Raises:
        UserError: the file is malformed, or an order occurs twice.
    """
    types = dict.fromkeys(("order_id", "user_id", "order_number"), pa.int64())
    batches = [[batch[name].to_numpy() for name in types] for batch in read_csv(path, types, least=0)]
    order, user, place = map(np.concatenate, zip(*batches, strict=True))
    distinct, first = np.unique(order, return_index=True)
    if len(distinct) < len(order):
        again = np.setdiff1d(np.arange(len(order)), first)[0]
        raise UserError(f"{path}:{line_of_row(path, again)}: column 'order_id': {order[again]} occurs twice")
    users = np.unique(user)
    read.update(users=len(users), orders=len(order))
    chosen = first[np.isin(user[first], users[: max(1, int(len(users) * USERS))])]
    return order[chosen], user[chosen], place[chosen]


def read_products(source, orders, read):
    """Read the products of the given orders (int64 ids, ascending).

    Returns:
        Three int64 arrays with an element for each product in an order: the index of the order in ``orders``, the
        product, and the product's position in the order.
    """
    types = dict.fromkeys(("order_id", "product_id", "add_to_cart_order"), pa.int64())
    parts = []
    for name in ("order_products__prior.csv", "order_products__train.csv"):
        for batch in read_csv(find(source, name), types, least=0):
            read["interactions"] += len(batch)
            order, product, position = (batch[column].to_numpy() for column in types)
            place = np.minimum(np.searchsorted(orders, order), len(orders) - 1)
            rows = np.flatnonzero(orders[place] == order)
            parts.append([place[rows], product[rows], position[rows]])
    return map(np.concatenate, zip(*parts, strict=True))


if __name__ == "__main__":
    program.run(main)
