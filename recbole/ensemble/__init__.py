"""Sharded ensembles (SISA and its successors), which train one model per shard of the data to unlearn rows exactly."""
