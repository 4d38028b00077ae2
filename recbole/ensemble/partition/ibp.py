"""RecEraser's partition of items (IBP)."""

from recbole.ensemble.partition.ubp import UserPartition


class ItemPartition(UserPartition):
    """Keeps items together whose vectors are near each other, as ``ubp`` does users.

    A user's rows are spread over many shards, and the shard of the most popular items has many times the rows of
    another.
    """

    name = "ibp"
    by = "item"
