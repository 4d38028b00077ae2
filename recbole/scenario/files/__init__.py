"""Readers of the files that scenarios need: forget sets and spam attacks."""
