"""Ensembles of sub-models, each of one shard of the rows, from which rows are unlearned exactly."""
