"""RecEraser's interaction-based partition (InBP), its default."""

from collections.abc import Callable

import numpy as np

from recbole.ensemble.partition.base import Partition, PartitionInput, capacity
from recbole.ensemble.partition.greedy import Anchors, Distances, by_table, fill, settle


class InteractionPartition(Partition):
    """Groups rows (interactions) with similar user embeddings and similar item embeddings.

    C. Chen et al., "Recommendation Unlearning" (RecEraser), WWW 2022. A shard's anchor (its centre) is a pair of a user
    embedding and an item embedding, which start as those of a random row. The distance of a row from an anchor is the
    product of two squared distances: that of the row's user from the user embedding, and that of the row's item from
    the item embedding. Both are looked up in small tables, [K, n_users] and [K, n_items]. An anchor moves to the means
    over the shard's rows, computed from the number of rows that each user (and item) has in the shard. No array
    therefore has as many entries as rows times shards.
    """

    name = "inbp"
    needs_vectors = True
    by = "row"

    def _divide(self, given: PartitionInput) -> np.ndarray:
        assert given.user_vectors is not None and given.item_vectors is not None
        n, scalar = len(given.users), given.anchor_update == "scalar_compat"
        first = self._drawn(n, given)
        users = Anchors(given.user_vectors, given.users[first], scalar)
        items = Anchors(given.item_vectors, given.items[first], scalar)
        limits = [capacity(n, given.n_shards, given.capacity_factor)] * given.n_shards

        def step() -> np.ndarray:
            of_users, of_items = by_table(users.distances(), given.users), by_table(items.distances(), given.items)
            shards = fill(_product(of_users, of_items), n, limits)
            users.move(given.users, shards)
            items.move(given.items, shards)
            return shards

        return settle(step, given.iterations)


def _product(left: Distances, right: Distances) -> Distances:
    """Multiply two kinds of distances.

    Args:
        left, right: the factors, for the same objects and shards.

    Returns:
        The products, in the same form.
    """

    def of(some: slice | np.ndarray) -> Callable[[int], np.ndarray]:
        one, other = left(some), right(some)
        return lambda shard: one(shard) * other(shard)

    return of
