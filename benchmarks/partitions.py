r"""What does it cost to divide training rows into shards, and what shards come of it?

    python benchmarks/partitions.py --out results/partitions.json
    python benchmarks/partitions.py --rows 10000000 --only inbp random
    python benchmarks/partitions.py --data ml-1m_receraser
    python benchmarks/partitions.py --whole results/partitions --rows 10000000 --out results/partitions_whole.json

Rows are synthetic, items by Zipf's law, and vectors those of users and items in groups that overlap. CPU seconds are
user and system time of one thread; the peak is the memory that the partition came to beyond that of rows and vectors.

With ``--data`` (a folder with ``train.txt``, one user a line: ``user item item ...``) the rows are those, and vectors
those of WMF by alternating least squares. Printed are the shards that a user is in, the fewest and most users, items
and rows of a shard, and how many shards are full by the capacity factor.

With ``--whole FOLDER`` it is the whole way instead, on a log of ratings that is kept in that folder: read it, divide
it, train one shard's BPR for an epoch, answer one request; with each step's memory, which should stay within 8 GiB
(the exit status is 1 if it does not).
"""

import argparse
import json
import os
import sys
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from clocked import clocked

from recbole.config.ensembles import PRESETS
from recbole.data.ids import distinct, grouped
from recbole.ensemble.partition.base import PartitionInput, capacity
from recbole.ensemble.partition.greedy import Anchors
from recbole.ensemble.partition.registry import get_partition, partition_names
from recbole.utils import stream

LIMIT = 3600
"""CPU seconds of a partition."""

SIZE = 64
SWEEPS, ZERO_WEIGHT, DROPPED = 5, 0.2, 0.3
UPDATES = ("vector", "scalar_compat")
MOVED_BOTH_WAYS = ("ubp", "ibp", "inbp")


def parse_args():
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=50, help="of ubp, ibp and inbp, at most")
    parser.add_argument("--only", nargs="*", default=partition_names(), choices=partition_names())
    parser.add_argument("--data", type=Path, help="folder with train.txt, in place of synthetic rows")
    parser.add_argument("--whole", type=Path, metavar="FOLDER", help="partition, one shard and one request instead")
    parser.add_argument("--ensemble", default="receraser", choices=list(PRESETS), help="of --whole")
    parser.add_argument("--seeds", type=int, nargs="*", default=[2])
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args()


def synthetic(n_rows, seed=2):
    """Return users, items, numbers of both, and their vectors."""
    generator = stream(seed, "synthetic rows", n_rows)
    n_users, n_items = n_rows // 143 + 10, n_rows // 940 + 100
    weights = np.cumsum(1 / np.arange(1, n_items))
    users = np.sort(generator.integers(1, n_users, n_rows, dtype=np.int32))
    items = np.empty(n_rows, dtype=np.int32)
    for start in range(0, n_rows, 1_000_000):
        part = items[start : start + 1_000_000]
        part[:] = 1 + np.searchsorted(weights, generator.random(len(part)) * weights[-1])
    return users, items, n_users, n_items, *(in_groups(generator, n) for n in (n_users, n_items))


def in_groups(generator, n, n_groups=30):
    """Return vectors, float32 [n, SIZE], around some centres."""
    centres = generator.normal(size=(n_groups, SIZE)) * 0.1
    vectors = centres[generator.integers(0, n_groups, n)] + generator.normal(size=(n, SIZE)) * 0.1
    return vectors.astype(np.float32)


def read(path):
    """Return the users and items, from 1, of a file with a user and the user's items on each line."""
    lines = [np.fromstring(line, dtype=np.int32, sep=" ") for line in path.read_text().splitlines()]
    users = np.concatenate([np.full(len(line) - 1, line[0] + 1, dtype=np.int32) for line in lines])
    items = np.concatenate([line[1:] + 1 for line in lines])
    return users, items, int(users.max()) + 1, int(items.max()) + 1


def fitted(users, items, n_users, n_items, seed):
    """Return vectors of users and items, those of WMF by alternating least squares."""
    vectors = [stream(seed, "vectors", side).normal(size=(n, SIZE)) / 100 for side, n in enumerate((n_users, n_items))]
    sides = ((users, items, n_users), (items, users, n_items))
    lists = [np.split(theirs[grouped(own)], np.bincount(own, minlength=n).cumsum()[:-1]) for own, theirs, n in sides]
    for _ in range(SWEEPS):
        for side in (0, 1):
            vectors[side] = solved(lists[side], vectors[1 - side])
    return tuple(side.astype(np.float32) for side in vectors)


def solved(lists, others):
    """Return the vectors [n, SIZE] of whoever has these others: ones where they have one, else zeros that weigh less.

    Dropout of the vectors becomes the ridge that it is in expectation.
    """
    everyone = ZERO_WEIGHT * others.T @ others
    found = np.zeros((len(lists), SIZE))
    for one, theirs in enumerate(lists):
        if len(theirs):
            near = others[theirs]
            both = everyone + (1 - ZERO_WEIGHT) * near.T @ near
            found[one] = np.linalg.solve(both + DROPPED / (1 - DROPPED) * np.diag(np.diag(both)), near.sum(axis=0))
    return found


def divided(name, given):
    """Return the shards, and what they cost; steps are those of the anchors, 0 without any."""
    steps, real = {}, Anchors.distances

    def counted(anchors):
        steps[id(anchors)] = steps.get(id(anchors), 0) + 1
        return real(anchors)

    with mock.patch.object(Anchors, "distances", counted), clocked(LIMIT) as cost:
        shards = get_partition(name)().assign(given)
    extra = cost["peak_mib"] - cost["before_mib"]
    found = {
        "cpu": cost["cpu"],
        "extra_mib": extra,
        "peak_mib": cost["peak_mib"],
        "steps": max(steps.values(), default=0),
    }
    return shards, found


def described(shards, given):
    """Return the numbers of shards a user, and of users, items, rows and full shards."""
    pairs = {
        "users": distinct(given.users.astype(np.int64) * given.n_shards + shards),
        "items": distinct(given.items.astype(np.int64) * given.n_shards + shards),
    }
    sizes = {kind: np.bincount(pair % given.n_shards, minlength=given.n_shards) for kind, pair in pairs.items()}
    sizes["rows"] = np.bincount(shards, minlength=given.n_shards)
    totals = {"users": len(distinct(given.users)), "items": len(distinct(given.items)), "rows": len(shards)}
    limits = {kind: capacity(total, given.n_shards, given.capacity_factor) for kind, total in totals.items()}
    return {
        "shards_per_user": len(pairs["users"]) / totals["users"],
        "sizes": {kind: sorted(one.tolist()) for kind, one in sizes.items()},
        "full": {kind: int((one == limits[kind]).sum()) for kind, one in sizes.items()},
    }


def main():
    """Measure, print, and write what was found; return the exit status."""
    args = parse_args()
    if args.whole:
        return whole(args)
    rows = read(args.data / "train.txt") if args.data else synthetic(args.rows)
    users, items, n_users, n_items = rows[:4]
    print(f"{len(users)} rows, {n_users - 1} users, {n_items - 1} items, {args.shards} shards")
    tokens, found = [str(one) for one in range(n_users)], []
    for seed in args.seeds:
        vectors = fitted(*rows, seed) if args.data else rows[4:]
        for name, update in ((name, update) for name in args.only for update in UPDATES):
            if update != "vector" and name not in MOVED_BOTH_WAYS:
                continue
            given = PartitionInput(
                users=users, items=items, n_users=n_users, n_items=n_items, n_shards=args.shards, seed=seed,
                user_tokens=tokens, user_vectors=vectors[0], item_vectors=vectors[1], iterations=args.iterations,
                anchor_update=update,
            )  # fmt: skip
            shards, cost = divided(name, given)
            found.append({"partition": name, "anchor_update": update, "seed": seed, **cost, **described(shards, given)})
            show(found[-1])
    written(args.out, found)
    return 0


def whole(args):
    """Go the whole way once; return the exit status."""
    from partitions_whole import MOST_MIB, whole_way

    found = []
    for one in whole_way(args.whole.resolve(), args.rows, args.ensemble, args.shards, args.iterations, LIMIT):
        found.append(one)
        told = {key: value for key, value in one.items() if key in ("rows", "users", "items", "examples", "outcome")}
        more = "".join(f", {key} {value}" for key, value in told.items())
        print(f"{one['step']:<12}{one['cpu']:>9.1f} CPU s, peak {one['peak_mib']:6.0f} MiB{more}", flush=True)
    peak = max(one["peak_mib"] for one in found)
    print(f"peak of all {peak:.0f} MiB, of {MOST_MIB}")
    written(args.out, found)
    return int(peak > MOST_MIB)


def written(path, found):
    """Write what was found to a JSON file, if one is asked for."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")


def show(one):
    """Print what was found of a partition."""
    ranges = ", ".join(
        f"{kind} {sizes[0]}-{sizes[-1]} ({one['full'][kind]} full)" for kind, sizes in one["sizes"].items()
    )
    print(
        f"{one['partition']:<7}{one['anchor_update']:<14}seed {one['seed']}{one['cpu']:>9.2f} CPU s"
        f"{one['steps']:>4} steps{one['extra_mib']:>7.0f} MiB more, peak {one['peak_mib']:.0f}; "
        f"{one['shards_per_user']:.2f} shards a user; {ranges}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
