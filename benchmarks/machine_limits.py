"""What the machine could do at best: parts of `parts.py` that are a lower limit of others."""

import itertools
import json
import math
from pathlib import Path

from clocked import clocked


def reading(spec):
    """Read a file from its first to its last byte, no more."""
    total, buffer = 0, bytearray(1 << 20)
    with clocked(spec["limit"]) as cost, open(spec["file"], "rb", buffering=0) as file:
        while n := file.readinto(buffer):
            total += n
    return cost | {"bytes": total}


def parsing(spec):
    """Read a file as Arrow reads separated values, or Python's ``json`` baskets, into memory."""
    from pyarrow import csv

    path = Path(spec["file"])
    with clocked(spec["limit"]) as cost:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        else:
            csv.read_csv(path, csv.ReadOptions(use_threads=False), csv.ParseOptions(delimiter="\t"))
    return cost


def product(spec):
    """Multiply matrices: ``people`` vectors of ``width`` numbers with ``items`` of them, in batches of 4,096 people."""
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
