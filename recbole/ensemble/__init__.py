"""Sharded ensembles (SISA and its successors): one model per shard of the data, so that rows are unlearned exactly."""
