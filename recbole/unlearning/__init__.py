"""Unlearning: requests, the pipeline that takes them in order, and what the algorithms are made of."""
