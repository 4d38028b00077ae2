"""SISA's partition: random rows."""

import numpy as np

from recbole.ensemble.partition.base import Partition, PartitionInput
from recbole.utils import stream


class RandomPartition(Partition):
    """Assigns rows to shards at random, such that the shards' sizes differ by at most one row.

    The assignment is a random permutation of the rows. It depends on their number, so rows that are forgotten later
    leave that trace, but not on their contents.
    """

    name = "random"
    by = "row"

    def _divide(self, given: PartitionInput) -> np.ndarray:
        order = np.arange(len(given.users), dtype=np.int32)
        stream(given.seed, "partition", self.name).shuffle(order)
        shards = np.empty(len(order), dtype=np.int16)
        shards[order] = np.arange(len(order), dtype=np.int32) % given.n_shards
        return shards
