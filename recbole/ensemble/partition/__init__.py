"""Partitions, which divide the interactions into shards; one per file. ``registry.py`` finds them by name."""
