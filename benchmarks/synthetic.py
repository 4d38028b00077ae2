"""Logs of any size for `scale.py` and `speed.py`: ratings, sessions, baskets, whose items follow Zipf's law.

They are drawn with NumPy from a seed and written by Arrow, so that ten million rows take seconds, and kept: a log that
is there, of the same shape, is not made again. Beside ratings lie a list of sensitive items and a forget set.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

SEED, CATEGORY, FRACTION, REQUESTERS = 2, "middling", 0.0001, 20
"""Of everything that is drawn; the list and the forget set: their names, and how many people ask."""


@dataclass(frozen=True)
class Shape:
    """The shape of a log.

    Attributes:
        task: ``CF``, ``SBR`` or ``NBR``.
        rows: interactions.
        items: of the catalogue; a rare one may not occur.
        people: users; of sessions and baskets this follows from the rows.
    """

    task: str
    rows: int
    items: int
    people: int = 0

    @property
    def name(self):
        """Return the name of the data set."""
        return f"{self.task.lower()}_{self.rows}"


FULL = {
    "CF": (Shape("CF", 800_000, 5_000, 10_000), Shape("CF", 8_700_000, 20_000, 108_750)),
    "SBR": (Shape("SBR", 1_000_000, 50_000), Shape("SBR", 10_000_000, 400_000)),
    "NBR": (Shape("NBR", 1_000_000, 12_000), Shape("NBR", 8_000_000, 12_000)),
}
SMALL = {
    "CF": (Shape("CF", 2_000, 200, 100), Shape("CF", 4_000, 400, 200)),
    "SBR": (Shape("SBR", 1_000, 100), Shape("SBR", 2_000, 200)),
    "NBR": (Shape("NBR", 2_000, 60), Shape("NBR", 4_000, 60)),
}
SIZES = {"full": FULL, "small": SMALL}
"""The two logs of each task. Of baskets the catalogue stays, since a model may have a weight for each pair of items."""


def furnish(folder, shape):
    """Write the log of a shape into ``folder/<name>/`` unless it is there.

    Returns:
        The path of its file: an atomic ``.inter`` file, or ``_merged.json`` where it holds baskets.
    """
    home = Path(folder) / shape.name
    path = home / f"{shape.name}{'_merged.json' if shape.task == 'NBR' else '.inter'}"
    made = home / "shape.json"
    told = json.dumps(asdict(shape) | {"seed": SEED})
    if made.exists() and made.read_text() == told and path.exists():
        return path
    home.mkdir(parents=True, exist_ok=True)
    made.unlink(missing_ok=True)
    draw = np.random.default_rng([SEED, shape.rows, shape.items])
    {"CF": _ratings, "SBR": _sessions, "NBR": _baskets}[shape.task](path, shape, draw)
    made.write_text(told)
    return path


def zipf(draw, n, size, exponent=1.0):
    """Return ``n`` numbers (int64) below ``size``, number ``k`` with a weight of ``(k + 1) ** -exponent``."""
    weights = np.cumsum(np.arange(1, size + 1, dtype=np.float64) ** -exponent)
    return np.minimum(np.searchsorted(weights, draw.random(n) * weights[-1]), size - 1)


def _ratings(path, shape, draw):
    """Write distinct pairs; half of them are shared out evenly, half by activity, which falls off more slowly."""
    pairs = np.empty(0, dtype=np.int64)
    while len(pairs) < shape.rows:
        missing = 2 * (shape.rows - len(pairs)) + 100
        even = np.arange(missing // 2) % shape.people
        users = np.concatenate([even, zipf(draw, missing - len(even), shape.people, 0.5)])
        pairs = np.unique(np.concatenate([pairs, users * shape.items + zipf(draw, missing, shape.items)]))
    pairs = draw.permutation(pairs)[: shape.rows]
    user, item = np.divmod(pairs, shape.items)
    _write(path, "user_id", user, item, np.arange(shape.rows))
    _forgetting(path, shape, user, item)


def _forgetting(path, shape, user, item):
    """Write a list of sensitive items, every tenth, and a forget set: the first people's first two of them."""
    sensitive = np.arange(5, shape.items, 10)
    (path.parent / f"sensitive_asins_{CATEGORY}.txt").write_text("".join(f"{one}\n" for one in sensitive))
    listed = np.flatnonzero(item % 10 == 5)
    listed = listed[np.argsort(user[listed], kind="stable")]
    place = np.arange(len(listed)) - np.searchsorted(user[listed], user[listed])
    asked = listed[place < 2]
    asked = asked[np.isin(user[asked], np.unique(user[asked])[:REQUESTERS])]
    stem = f"{shape.name}_unlearn_pairs_sensitive_category_{CATEGORY}_seed_{SEED}_unlearning_fraction_{FRACTION}"
    pairs = "".join(f"{u}\t{i}\n" for u, i in zip(user[asked].tolist(), item[asked].tolist(), strict=True))
    (path.parent / f"{stem}.inter").write_text(f"user_id:token\titem_id:token\n{pairs}")


def _sessions(path, shape, draw):
    """Write sessions of 2 and more events, eight in the mean."""
    lengths = 2 + draw.geometric(1 / 6, shape.rows // 2)
    session = np.repeat(np.arange(len(lengths)), lengths)[: shape.rows]
    _write(path, "session_id", session, zipf(draw, shape.rows, shape.items), np.arange(shape.rows))


def _write(path, field, user, item, time):
    table = pa.table({"user": user, "item": item, "time": time})
    partial = path.with_name(f".{path.name}.partial")
    with open(partial, "wb") as file:
        file.write(f"{field}:token\titem_id:token\ttimestamp:float\n".encode())
        csv.write_csv(table, file, csv.WriteOptions(include_header=False, delimiter="\t"))
    os.replace(partial, path)


def _baskets(path, shape, draw):
    """Write people with 5 and more baskets, ten in the mean, of about eight different items."""
    people = max(shape.rows // 80, 1)
    baskets = 4 + draw.geometric(1 / 6, people)
    per_basket = draw.geometric(1 / (shape.rows / baskets.sum()), baskets.sum())
    basket = np.repeat(np.arange(len(per_basket)), per_basket)
    keys = np.unique(basket * shape.items + zipf(draw, len(basket), shape.items))
    basket, item = np.divmod(keys, shape.items)
    ends = np.searchsorted(basket, np.arange(len(per_basket) + 1)).tolist()
    item, last = item.tolist(), np.concatenate([[0], np.cumsum(baskets)]).tolist()
    partial = path.with_name(f".{path.name}.partial")
    with open(partial, "w") as file:
        for user in range(people):
            own = [item[ends[at] : ends[at + 1]] for at in range(last[user], last[user + 1])]
            file.write(f'{", " if user else "{"}"{user}": {json.dumps(own)}')
        file.write("}\n")
    os.replace(partial, path)
