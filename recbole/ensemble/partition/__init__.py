"""Partitions, which divide the training rows into shards; one per file. ``registry.py`` finds them by name."""
