"""RecEraser's user-based partition (UBP)."""

from typing import ClassVar

import numpy as np

from recbole.ensemble.partition.base import EntityPartition, Kind, PartitionInput, capacity
from recbole.ensemble.partition.greedy import Anchors, around_anchors


class UserPartition(EntityPartition):
    """Groups users with similar embeddings, in shards with similar numbers of users.

    C. Chen et al., "Recommendation Unlearning" (RecEraser), WWW 2022. Each user goes to the shard with the nearest
    anchor (centre) that has room; then the anchors move to their users, and so on
    (:mod:`recbole.ensemble.partition.greedy`). Shards are balanced in users, not in rows: a shard with many active
    users may have several times as many rows as another.
    """

    name = "ubp"
    needs_vectors = True
    by: ClassVar[Kind] = "user"

    def _place(self, ids: np.ndarray, given: PartitionInput) -> np.ndarray:
        vectors = given.user_vectors if self.by == "user" else given.item_vectors
        assert vectors is not None
        first = ids[self._drawn(len(ids), given)]
        anchors = Anchors(vectors, first, given.anchor_update == "scalar_compat")
        limit = capacity(len(ids), given.n_shards, given.capacity_factor)
        return around_anchors(anchors, ids, limit, given.iterations)
