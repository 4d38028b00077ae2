"""Measurements for `parts.py` that give lower limits of what other parts can cost on this machine.

Each function takes the specification of a part, a dictionary with ``limit`` in CPU seconds, and returns a dictionary
with the costs that :func:`clocked.clocked` measures.
"""

import itertools
import json
import math
from pathlib import Path

from clocked import clocked


def reading(spec):
    """Read all bytes of the file ``spec["file"]`` without parsing; the result also has their number, ``bytes``."""
    total, buffer = 0, bytearray(1 << 20)
    with clocked(spec["limit"]) as cost, open(spec["file"], "rb", buffering=0) as file:
        while n := file.readinto(buffer):
            total += n
    return cost | {"bytes": total}


def parsing(spec):
    """Parse the file ``spec["file"]`` into memory: .json with Python's ``json``, others as tab-separated with Arrow."""
    from pyarrow import csv

    path = Path(spec["file"])
    with clocked(spec["limit"]) as cost:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        else:
            csv.read_csv(path, csv.ReadOptions(use_threads=False), csv.ParseOptions(delimiter="\t"))
    return cost


def product(spec):
    """Compute all user-item scores as matrix products, in batches of up to 4,096 users.

    ``spec`` has the number of users (``people``), of items (``items``) and the embedding size (``width``). The CPU
    seconds are scaled from full batches to the number of users; the result also has the number of ``multiplications``.
    """
    import torch

    torch.set_num_threads(1)
    width, items = spec["width"], spec["items"]
    vectors, table = torch.randn(min(4096, spec["people"]), width), torch.randn(width, items)
    vectors[:8] @ table
    with clocked(spec["limit"]) as cost:
        for _ in itertools.repeat(None, math.ceil(spec["people"] / len(vectors))):
            vectors @ table
    done = math.ceil(spec["people"] / len(vectors)) * len(vectors)
    return cost | {"cpu": cost["cpu"] * spec["people"] / done, "multiplications": spec["people"] * width * items}
