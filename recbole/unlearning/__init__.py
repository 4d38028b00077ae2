"""Unlearning: requests, the pipeline that takes them in order, and one file for each algorithm."""
