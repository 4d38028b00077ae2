"""Which shard each training row belongs to: one file a partition, ``registry.py`` finds them by their names."""
