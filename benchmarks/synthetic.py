"""Generate logs of any size for `scale.py` and `speed.py`: ratings, sessions or baskets, with items by Zipf's law.

The logs are drawn with NumPy from a fixed seed and written by Arrow, so that ten million rows take seconds. An existing
log of the same shape is reused. For ratings, a list of sensitive items and a forget set are written next to the log.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

SEED, CATEGORY, FRACTION, REQUESTERS = 2, "middling", 0.0001, 20
"""Random seed; sensitive category and unlearning fraction in the file names; number of requesting users."""


@dataclass(frozen=True)
class Shape:
    """The task and the size of a log.

    Attributes:
        task: ``CF``, ``SBR`` or ``NBR``.
        rows: number of interactions.
        items: number of items in the catalogue; rare items may not occur in the log.
        people: number of users, only used for ``CF``; for ``SBR`` and ``NBR`` it follows from ``rows``.
    """

    task: str
    rows: int
    items: int
    people: int = 0

    @property
    def name(self):
        """The name of the data set, such as ``cf_800000``."""
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
"""Size to task to the two logs. Both logs of NBR have the same catalogue, since a model may have a weight for each pair
of items."""


def furnish(folder, shape):
    """Write the log of a shape into ``folder/<name>/`` unless it exists.

    Returns:
        The path of the log: an atomic ``.inter`` file, or for NBR a ``_merged.json`` file of baskets.
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
    """Sample from a power law.

    Args:
        draw: NumPy's random generator.
        n: number of samples.
        size: number of values.
        exponent: value ``k`` has a probability proportional to ``(k + 1) ** -exponent``.

    Returns:
        Samples from 0 to ``size - 1``, int64 [n].
    """
    weights = np.cumsum(np.arange(1, size + 1, dtype=np.float64) ** -exponent)
    return np.minimum(np.searchsorted(weights, draw.random(n) * weights[-1]), size - 1)


def _ratings(path, shape, draw):
    """Write distinct (user, item) pairs; users are half uniform and half by a power law with exponent 0.5."""
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
    """Write a list of sensitive items (every tenth item) and a forget set.

    The forget set has the first two sensitive items of each of the first REQUESTERS users who have any.
    """
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
    """Write sessions of at least 3 events, 8 on average."""
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
    """Write users with at least 5 baskets, 10 on average, of about eight different items each."""
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
