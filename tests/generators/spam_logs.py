"""Clean logs of every task, spam attacks on them, and functions that read the written files."""

import json
from collections import Counter

import numpy as np
import pandas as pd

from recbole.data.atomic import read_atomic
from recbole.generators.imitation import CleanBaskets, CleanInteractions
from recbole.generators.spam_writer import SpamWriter

N_ITEMS, RATIO = 100, 0.2
SESSIONS = "user_id:token session_id:token item_id:token timestamp:float"
RATINGS = "user_id:token item_id:token rating:float timestamp:float"
TASKS = {"ratings": "CF", "sessions": "SBR", "anonymous": "SBR", "baskets": "NBR"}
PROFILE = {"ratings": "user_id", "sessions": "session_id", "anonymous": "session_id"}


def profiles(n=300):
    """Yield (profile, item, time) of profiles with 4 to 14 items; items with lower numbers are more popular."""
    draw = np.random.default_rng(3)
    for profile in range(n):
        items = np.unique((N_ITEMS * draw.random(4 + profile % 11) ** 3).astype(int))
        times = 10**9 + profile * 10**4 + np.cumsum(draw.integers(50, 150, len(items)))
        yield from ((profile, item, time) for item, time in zip(draw.permutation(items), times, strict=True))


def clean_log(data, name):
    if name == "baskets":
        return CleanBaskets(data / name / f"{name}_merged.json")
    return CleanInteractions(data / name / f"{name}.inter", TASKS[name])


def attack(data, name, folder, ratio=RATIO, seed=2, n_target_items=5):
    """Write an attack; return the report, the fake rows and the metadata.

    A row is (profile, item, ...) in the order of the file; for baskets, a profile is a basket.
    """
    writer = SpamWriter(clean_log(data, name), folder, name)
    writer.check(ratio, seed, n_target_items)
    report = writer.write(ratio, seed, n_target_items)
    path, metadata = report["paths"]
    return report, rows_of(path), json.loads(metadata.read_text())


def rows_of(path):
    if path.suffix == ".inter":
        return read_atomic(path).table.to_pandas()
    users = json.loads(path.read_text())
    rows = [
        (user, f"{user}/{n}", str(item))
        for user, own in users.items()
        for n, basket in enumerate(own)
        for item in basket
    ]
    return pd.DataFrame(rows, columns=["user_id", "basket", "item_id"])


def fifths(rows, kept=None):
    """Return the most popular and the least popular fifth of the items, by loops."""
    counts = Counter(rows["item_id"])
    alike = all(token.isdigit() for token in counts)
    ordered = sorted(counts, key=lambda item: (-counts[item], int(item) if alike else item))
    ordered = [item for item in ordered if kept is None or item in kept]
    return set(ordered[: len(ordered) // 5]), set(ordered[len(ordered) - len(ordered) // 5 :])
