"""RecEraser's item-based partition (IBP)."""

from recbole.ensemble.partition.ubp import UserPartition


class ItemPartition(UserPartition):
    """Groups items with similar embeddings, with the same algorithm that ``ubp`` uses for users.

    A user's rows are spread over many shards. The shard with the most popular items has many times as many rows as the
    others, because shards are balanced in items.
    """

    name = "ibp"
    by = "item"
