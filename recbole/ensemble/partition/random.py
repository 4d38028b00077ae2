"""SISA's partition: random rows."""

import numpy as np

from recbole.ensemble.partition.base import Partition, PartitionInput
from recbole.utils import stream


class RandomPartition(Partition):
    """Assigns rows to shards at random, such that the shards' sizes differ by at most one row.

    The assignment depends on the seed and on the number of rows, but not on their contents. The number includes rows
    that are forgotten later; no other trace of these rows remains in the partition.
    """

    name = "random"
    by = "row"

    def _divide(self, given: PartitionInput) -> np.ndarray:
        order = np.arange(len(given.users), dtype=np.int32)
        stream(given.seed, "partition", self.name).shuffle(order)
        shards = np.empty(len(order), dtype=np.int16)
        shards[order] = np.arange(len(order), dtype=np.int32) % given.n_shards
        return shards
