"""SISA's partition: rows at random."""

import numpy as np

from recbole.ensemble.partition.base import Partition, PartitionInput
from recbole.utils import stream


class RandomPartition(Partition):
    """Deals the rows out at random, so that shards differ by one row at most.

    It is a permutation of N rows, so that the number of rows, if nothing else of a forgotten one, is in it.
    """

    name = "random"
    by = "row"

    def _divide(self, given: PartitionInput) -> np.ndarray:
        order = np.arange(len(given.users), dtype=np.int32)
        stream(given.seed, "partition", self.name).shuffle(order)
        shards = np.empty(len(order), dtype=np.int16)
        shards[order] = np.arange(len(order), dtype=np.int32) % given.n_shards
        return shards
