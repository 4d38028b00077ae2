r"""Measure what it costs to divide training rows into shards, and how balanced the shards are.

    python benchmarks/partitions.py --out results/partitions.json
    python benchmarks/partitions.py --rows 10000000 --only inbp random
    python benchmarks/partitions.py --data ml-1m_receraser
    python benchmarks/partitions.py --whole results/partitions --rows 10000000 --out results/partitions_whole.json

By default the rows are synthetic: items follow Zipf's law, and the vectors of users and items are drawn around the
centres of overlapping groups. CPU seconds are the user and system time of one thread. "MiB more" is the memory that the
partition needs in addition to the rows and vectors.

With ``--data`` (a folder with ``train.txt``, one user per line: ``user item item ...``) the rows are read from this
file, and the vectors come from weighted matrix factorisation (WMF) by alternating least squares. The output gives the
mean number of shards that contain a user, the smallest and largest number of users, items and rows of a shard, and how
many shards reach the capacity.

With ``--whole FOLDER`` the script measures all steps of an ensemble instead, on a log of ratings that is kept in the
folder: read the log, divide it, train BPR on one shard for an epoch, and handle one request. It prints the peak memory
of each step; the exit status is 1 if it exceeds 8 GiB.
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
"""Limit of a partition in CPU seconds."""

SIZE = 64
SWEEPS, ZERO_WEIGHT, DROPPED = 5, 0.2, 0.3
UPDATES = ("vector", "scalar_compat")
MOVED_BOTH_WAYS = ("ubp", "ibp", "inbp")


def parse_args():
    """Return the command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="synthetic rows (default: %(default)s)")
    parser.add_argument("--shards", type=int, default=10, help="number of shards (default: %(default)s)")
    parser.add_argument("--iterations", type=int, default=50, help="maximum for ubp, ibp, inbp (default: 50)")
    parser.add_argument("--only", nargs="*", default=partition_names(), choices=partition_names(), help="only these")
    parser.add_argument("--data", type=Path, help="folder with train.txt, whose rows replace the synthetic ones")
    parser.add_argument("--whole", type=Path, metavar="FOLDER", help="partition, one shard and one request instead")
    parser.add_argument("--ensemble", default="receraser", choices=list(PRESETS), help="ensemble for --whole")
    parser.add_argument("--seeds", type=int, nargs="*", default=[2], help="random seeds (default: 2)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args()


def synthetic(n_rows, seed=2):
    """Generate synthetic rows.

    Returns:
        ``(users, items, n_users, n_items, user_vectors, item_vectors)``: ids from 1, int32 [rows], of each row; the
        numbers of users and items with the padding id 0; and vectors, float32 [users or items, SIZE].
    """
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
    """Return random vectors, float32 [n, SIZE], around `n_groups` random centres."""
    centres = generator.normal(size=(n_groups, SIZE)) * 0.1
    vectors = centres[generator.integers(0, n_groups, n)] + generator.normal(size=(n, SIZE)) * 0.1
    return vectors.astype(np.float32)


def read(path):
    """Read a file that has a user and the items of this user on each line.

    Returns:
        ``(users, items, n_users, n_items)``: ids from 1, int32 [rows], and the numbers of both with the padding id 0.
    """
    lines = [np.fromstring(line, dtype=np.int32, sep=" ") for line in path.read_text().splitlines()]
    users = np.concatenate([np.full(len(line) - 1, line[0] + 1, dtype=np.int32) for line in lines])
    items = np.concatenate([line[1:] + 1 for line in lines])
    return users, items, int(users.max()) + 1, int(items.max()) + 1


def fitted(users, items, n_users, n_items, seed):
    """Return the WMF vectors of users and items, float32 [users or items, SIZE], by alternating least squares."""
    vectors = [stream(seed, "vectors", side).normal(size=(n, SIZE)) / 100 for side, n in enumerate((n_users, n_items))]
    sides = ((users, items, n_users), (items, users, n_items))
    lists = [np.split(theirs[grouped(own)], np.bincount(own, minlength=n).cumsum()[:-1]) for own, theirs, n in sides]
    for _ in range(SWEEPS):
        for side in (0, 1):
            vectors[side] = solved(lists[side], vectors[1 - side])
    return tuple(side.astype(np.float32) for side in vectors)


def solved(lists, others):
    """Solve one side of the alternating least squares and return its vectors, float64 [n, SIZE].

    The target is 1 for an observed pair, and 0, with weight ZERO_WEIGHT, for every other pair. Dropout of the vectors
    is replaced by the ridge penalty that it equals in expectation.

    Args:
        lists: for each of the n users (or items), the ids of the observed items (or users).
        others: vectors of the other side, float64 [others, SIZE].
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
    """Divide rows into shards, and measure the cost.

    Args:
        name: name of the partition.
        given: its :class:`~recbole.ensemble.partition.base.PartitionInput`.

    Returns:
        The shard of each row, int [rows], and a dictionary of costs: CPU seconds, MiB, and ``steps``, how often the
        distances to the anchors were computed (0 for a partition without anchors).
    """
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
    """Return the mean number of shards per user, the sizes of the shards, and how many shards are full.

    Sizes are sorted lists over shards, by kind: ``users``, ``items`` and ``rows``. A full shard has as many of a kind
    as the capacity factor allows.
    """
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
    """Measure all partitions, print and write the results; return the exit status."""
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
    """Measure all steps of an ensemble once; return the exit status: 1 if they need too much memory."""
    from partitions_whole import MOST_MIB, whole_way

    found = []
    for one in whole_way(args.whole.resolve(), args.rows, args.ensemble, args.shards, args.iterations, LIMIT):
        found.append(one)
        told = {key: value for key, value in one.items() if key in ("rows", "users", "items", "examples", "outcome")}
        more = "".join(f", {key} {value}" for key, value in told.items())
        print(f"{one['step']:<12}{one['cpu']:>9.1f} CPU s, peak {one['peak_mib']:6.0f} MiB{more}", flush=True)
    peak = max(one["peak_mib"] for one in found)
    print(f"peak memory of all steps: {peak:.0f} MiB; the limit is {MOST_MIB} MiB")
    written(args.out, found)
    return int(peak > MOST_MIB)


def written(path, found):
    """Write the results to a JSON file; nothing if `path` is None."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")


def show(one):
    """Print the results of a partition on one line."""
    ranges = ", ".join(
        f"{kind} {sizes[0]}-{sizes[-1]} ({one['full'][kind]} full)" for kind, sizes in one["sizes"].items()
    )
    print(
        f"{one['partition']:<7}{one['anchor_update']:<14}seed {one['seed']}{one['cpu']:>9.2f} CPU s"
        f"{one['steps']:>4} steps{one['extra_mib']:>7.0f} MiB more, peak {one['peak_mib']:.0f}; "
        f"{one['shards_per_user']:.2f} shards per user; {ranges}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
