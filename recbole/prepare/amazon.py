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
"""Dict from a field that the rules test to the keys of a description whose texts, joined by spaces, are its value."""


def urls(category: str) -> dict[str, str]:
    """Return the URLs of a category's two files, by file name."""
    reviews, meta = file_names(category)
    return {reviews: f"{URL}/review_categories/{reviews}", meta: f"{URL}/meta_categories/{meta}"}


def file_names(category: str) -> tuple[str, str]:
    """Return the names of a category's two files: reviews and descriptions."""
    return f"{category}.jsonl.gz", f"meta_{category}.jsonl.gz"


def read(
    folder: Path, category: str, rules_path: Path, texts: Texts, k: int
) -> tuple[RawTable, dict[str, list[str]], dict[str, int]]:
    """Read the reviews of a category, and find its sensitive items by their descriptions.

    Args:
        folder: the folder with the category's two files.
        category: the category's name, as in the file names.
        rules_path: the YAML file with the rules for sensitive items.
        texts: which keys of the descriptions the rules test, see `Texts`.
        k: users and items with fewer than ``k`` reviews are removed, repeatedly, until none is left (k-core).

    Returns:
        ``(log, categories, read)``. ``log`` is a `RawTable` with user, item (the asin), rating and timestamp
        (milliseconds since 1970, UTC), sorted by user and time. ``categories`` is a dict from each sensitive category
        to its items in the log (list of asins). ``read`` has the counts of the raw reviews, see
        :meth:`RawTable.counts`.

    Raises:
        UserError: a file is missing or malformed, more than 1 % of the reviews have an impossible rating or time, or a
            sensitive category has no item in the log.
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
    """Return the reviews with a valid rating and time, and print how many others were removed.

    Raises:
        UserError: more than ten reviews and more than 1 % of them are invalid, so the file has another format.
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
    """Return the items (asins, Arrow string array) of the log that have a parent_asin in ``parents``."""
    listed = pc.is_in(log.tokens["parent_asin"], parents).to_numpy(zero_copy_only=False)
    items = np.unique(log.codes["item_id"][listed[log.codes["parent_asin"]]])
    return log.tokens["item_id"].take(pa.array(items))


def _sensitive_parents(folder: Path, category: str, rules_path: Path, texts: Texts) -> dict[str, pa.Array]:
    """Return a dict from each sensitive category to the parent_asins whose descriptions match (Arrow string array)."""
    rules = SensitiveRules(rules_path)
    described = _described(find(folder, f"meta_{category}.jsonl"), texts)
    while items := list(islice(described, _ITEMS_AT_ONCE)):
        parents, *fields = (pa.array(column, pa.string()) for column in zip(*items, strict=True))
        rules.look(parents, **dict(zip(texts, fields, strict=True)))
    return rules.items()


def _described(path: Path, texts: Texts) -> Iterator[tuple[str, ...]]:
    """Yield (parent_asin, text of each field in ``texts``) for each description that has a parent_asin."""
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
