"""Unlearning: deletion requests, the loop that answers them in order, and the algorithms and their common parts."""
