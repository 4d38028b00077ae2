"""`dataset/completejourney/prepare.py`, run as a command without network."""

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.atomic import read_atomic
from recbole.data.attributes import read_attribute
from recbole.utils import ModelType

SCRIPT = Path(__file__).parents[2] / "dataset/completejourney/prepare.py"
TYPES = [
    ("LAGER", "BEERS/ALES"), ("LAGER", "BEERS/ALES"), ("LAGER", "GLASSWARE"), ("VODKA", "LIQUOR"),
    ("WIPES", "BABY HBC"), ("WIPES", "BABY HBC"), ("SOAP", "BABY HBC"), ("SOAP", "SOAP - LIQUID & BAR"),
    ("SOAP", "SOAP - LIQUID & BAR"), ("HAM", "LUNCHMEAT"), ("CIGARS", "CIGARS"), ("RICE", "RICE"), ("BREAD", None),
    (None, None),
]  # fmt: skip


@pytest.fixture
def source(tmp_path):
    """60 households with 8 baskets each of products of 8 types, and one household with three baskets.

    The attributes of two thirds of them are known.
    """
    draw, folder = np.random.default_rng(2), tmp_path / "source"
    folder.mkdir()
    kinds, categories = zip(*TYPES, strict=True)
    products = {"product_id": range(100, 100 + len(TYPES)), "product_type": kinds, "product_category": categories}
    rows = [
        (house, 1000 * house + basket, 100 + int(product), datetime(2017, 1, 1) + timedelta(hours=9 * basket))
        for house in range(1, 62)
        for basket in range(8 if house < 61 else 3)
        for product in draw.choice(len(TYPES), 4, replace=False)
    ]
    draw.shuffle(rows)
    names = ("household_id", "basket_id", "product_id", "transaction_timestamp")
    people = {"household_id": range(1, 41), "age": ["19-24", "45-54", "65+", "25-34"] * 10}
    people |= {"income": ["Under 15K", "250K+"] * 20, "home_ownership": [None, "Renter", "Homeowner", None] * 10}
    people |= {"household_size": ["5+", "1"] * 20}
    for name, columns in (
        ("products", products), ("demographics", people),
        ("transactions", dict(zip(names, zip(*rows, strict=True), strict=True))),
    ):  # fmt: skip
        pq.write_table(pa.table({key: list(values) for key, values in columns.items()}), folder / f"{name}.parquet")
    return folder


def prepare(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_baskets_product_types_and_known_households(source, tmp_path):
    out = tmp_path / "dataset/completejourney"
    done = prepare("--from", source, "--output", out)
    assert done.returncode == 0, done.stderr
    kinds = sorted({kind for kind, _ in TYPES if kind})
    baskets = json.loads((out / "completejourney_merged.json").read_text())
    assert list(baskets) == [str(house) for house in range(1, 61)], "a household with three baskets is left out"
    transactions = pq.read_table(source / "transactions.parquet").to_pylist()
    bought: dict[int, set[int]] = {}
    for row in transactions:
        kind = TYPES[row["product_id"] - 100][0]
        if kind and row["household_id"] == 7:
            bought.setdefault(row["basket_id"], set()).add(kinds.index(kind) + 1)
    assert [set(basket) for basket in baskets["7"]] == [bought[one] for one in sorted(bought)]
    table = read_atomic(out / "completejourney.item").table
    category = dict(zip(table["product_type"].to_pylist(), table["product_category"].to_pylist(), strict=True))
    assert category["LAGER"] == "BEERS/ALES" and category["SOAP"] == "SOAP - LIQUID & BAR" and not category["BREAD"]
    number = dict(zip(table["product_type"].to_pylist(), table["item_id"].to_pylist(), strict=True))
    listed = {path.stem.removeprefix("sensitive_asins_"): path.read_text().split() for path in out.glob("sensitive*")}
    expected = {"alcohol": {"LAGER", "VODKA"}, "baby": {"WIPES"}, "meat": {"HAM"}, "tobacco": {"CIGARS"}}
    assert {name: set(items) for name, items in listed.items()} == {
        name: {number[kind] for kind in own} for name, own in expected.items()
    }
    assert len(list(out.glob("completejourney_unlearn_pairs_*.json"))) == 4 * 5
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert prepare("--from", source, "--output", out).returncode == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_the_attributes_have_at_most_three_groups(source, tmp_path):
    out = tmp_path / "dataset/completejourney"
    assert prepare("--from", source, "--output", out).returncode == 0
    names = ["age", "income", "home_ownership", "household_size"]
    config = Config("TIFUKNN", "completejourney", config_dict={"data_path": str(out.parent)})
    dataset = create_dataset(config, ModelType.NEXT_BASKET)
    age, _, home, _ = found = [read_attribute(config, dataset, name) for name in names]
    assert age.groups == ("35_to_54", "over_54", "under_35") and all(len(one.groups) <= 3 for one in found)
    assert (age.label[1:] >= 0).sum() == 40 and (home.label[1:] >= 0).sum() == 20 and home.groups == ("owner", "renter")


@pytest.mark.parametrize(
    ("name", "said"),
    [("products.parquet", "there is no column 'product_type'"), ("transactions.parquet", "cannot read")],
)
def test_errors_are_one_line(source, tmp_path, name, said):
    if name == "products.parquet":
        pq.write_table(pq.read_table(source / name).drop_columns(["product_type"]), source / name)
    else:
        (source / name).write_bytes(b"no parquet")
    done = prepare("--from", source, "--output", tmp_path / "out")
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
