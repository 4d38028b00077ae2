"""Amazon Reviews 2023: reading the reviews of a category and the descriptions of its items.

A review identifies its item by ``asin``. A description identifies a product, in all its sizes and colours, by
``parent_asin``. Reviews contain both ids, which links items to descriptions.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.prepare.program import say
from recbole.prepare.raw_files import find, json_objects
from recbole.prepare.raw_table import RawTable
from recbole.prepare.sensitive_rules import SensitiveRules
from recbole.prepare.steps import shared_items
from recbole.prepare.table_readers import read_json_lines
from recbole.utils import UserError

URL = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw"
RATINGS = (1, 5)
_TIMES = (757382400000, 4102444800000)  # 1994, when Amazon began, to 2100, in milliseconds
_REVIEW = pa.schema(
    {"user_id": "string", "asin": "string", "parent_asin": "string", "rating": "float64", "timestamp": "int64"}
)
_ITEMS_AT_ONCE = 4096

Texts: TypeAlias = Mapping[str, Sequence[str]]
"""How the fields that rules for sensitive items test are made from an item's description.

Dict from the name of a field to keys of the description. The field's value consists of the texts under these keys,
joined by spaces.
"""


def urls(category: str) -> dict[str, str]:
    """Return the URLs of a category's two files (reviews and descriptions), as a dict from file name to URL."""
    reviews, meta = file_names(category)
    return {reviews: f"{URL}/review_categories/{reviews}", meta: f"{URL}/meta_categories/{meta}"}


def file_names(category: str) -> tuple[str, str]:
    """Return the names of a category's two files: first the file of reviews, then the file of descriptions."""
    return f"{category}.jsonl.gz", f"meta_{category}.jsonl.gz"


def read(
    folder: Path, category: str, rules_path: Path, texts: Texts, k: int
) -> tuple[RawTable, dict[str, list[str]], dict[str, int]]:
    """Read the reviews of a category, and find its sensitive items by their descriptions.

    Args:
        folder: the folder with the category's two files.
        category: Amazon's category, as in the file names.
        rules_path: the YAML file with the rules for sensitive items, see `recbole.prepare.sensitive_rules`.
        texts: how the fields that the rules test are made from the descriptions, see `Texts`.
        k: users and items with fewer than ``k`` reviews are removed, repeatedly, until all have ``k`` (k-core).

    Returns:
        ``(log, categories, read)``. ``log`` has the columns user, item (the asin), rating and timestamp (milliseconds
        since 1970, UTC), without duplicates, sorted by user and time. ``categories`` is a dict from each category of
        sensitive items to its items in ``log`` (list of asins). ``read`` has the numbers of reviews, users, items and
        products in the raw file, see :meth:`RawTable.counts`.

    Raises:
        UserError: a file is missing or malformed, more than ten reviews and more than 1 % of them have an impossible
            rating or time, or a category of sensitive items has no item in ``log``.
    """
    parents = _sensitive_parents(folder, category, rules_path, texts)
    reviews = read_json_lines(find(folder, f"{category}.jsonl"), _REVIEW)
    log = RawTable.collect(map(_renamed, reviews), ("user_id", "item_id", "parent_asin"), ("rating", "timestamp"))
    read = log.counts()
    log = _possible(log, find(folder, f"{category}.jsonl"))
    items = {name: _of_parents(log, listed) for name, listed in parents.items()}
    log = log.without("parent_asin").distinct().ordered().core(k)  # duplicates may differ only in parent_asin
    return log, shared_items(items, log.items(), rules_path), read


def _renamed(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return {("item_id" if name == "asin" else name): batch[name] for name in batch.schema.names}


def _possible(log: RawTable, path: Path) -> RawTable:
    """Remove the reviews with an impossible rating or time, and print how many they are.

    Args:
        log: the reviews.
        path: their file, for messages.

    Raises:
        UserError: more than ten reviews and more than 1 % of them are impossible, so the file has another format.
    """
    rating, time = log.numbers["rating"], log.numbers["timestamp"]
    kept = (rating >= RATINGS[0]) & (rating <= RATINGS[1]) & (time >= _TIMES[0]) & (time < _TIMES[1])
    if lost := int(len(log) - kept.sum()):
        told = f"{path}: {lost} of {len(log)} reviews have a rating outside {RATINGS} or a time outside 1994 to 2100"
        if lost > max(10, len(log) / 100):
            raise UserError(f"{told} (in milliseconds): is it a file of Amazon Reviews 2023?")
        say(f"{told} and were removed")
    return log.take(kept) if lost else log


def _of_parents(log: RawTable, parents: pa.Array) -> pa.Array:
    """Return the items (asins) of some products, among those with reviews.

    Args:
        log: the reviews, with the columns ``item_id`` (asin) and ``parent_asin``.
        parents: Arrow string array, the products (parent_asins).

    Returns:
        Arrow string array of distinct asins.
    """
    listed = pc.is_in(log.tokens["parent_asin"], parents).to_numpy(zero_copy_only=False)
    items = np.unique(log.codes["item_id"][listed[log.codes["parent_asin"]]])
    return log.tokens["item_id"].take(pa.array(items))


def _sensitive_parents(folder: Path, category: str, rules_path: Path, texts: Texts) -> dict[str, pa.Array]:
    """Find the sensitive products of each category by their descriptions; arguments as in :func:`read`.

    Returns:
        A dict from the name of a category of sensitive items to the products' parent_asins (Arrow string array).
    """
    rules = SensitiveRules(rules_path)
    described = _described(find(folder, f"meta_{category}.jsonl"), texts)
    while items := list(islice(described, _ITEMS_AT_ONCE)):
        parents, *fields = (pa.array(column, pa.string()) for column in zip(*items, strict=True))
        rules.look(parents, **dict(zip(texts, fields, strict=True)))
    return rules.items()


def _described(path: Path, texts: Texts) -> Iterator[tuple[str, ...]]:
    """Yield for each product description in a file a tuple: its parent_asin, then the value of each field in ``texts``.

    Descriptions without a parent_asin are skipped.

    Raises:
        UserError: the file or a line of it is malformed.
    """
    for line, item in json_objects(path):
        parent = item.get("parent_asin")
        if not isinstance(parent, str | None):
            raise UserError(f"{path}:{line}: 'parent_asin' is {json.dumps(parent)[:40]}, expected a string")
        if parent:
            try:
                yield parent, *(" ".join(_text(item.get(part)) for part in parts) for parts in texts.values())
            except RecursionError as error:
                raise UserError(f"{path}:{line}: the JSON is nested too deeply") from error


def _text(value: Any) -> str:
    """Return a JSON value as text: the elements of lists and the values of objects are joined by spaces."""
    if value is None:
        return ""
    if isinstance(value, dict):
        value = list(value.values())
    return " ".join(map(_text, value)) if isinstance(value, list) else str(value)
