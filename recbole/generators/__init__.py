"""Generate files that define what is to be forgotten: lists of sensitive items, forget sets and spam attacks.

They depend on the data set only, not on any model.
"""
