"""ERASE bench: machine unlearning in recommender systems, behind RecBole's public names.

This package holds no line of RecBole. It is called ``recbole`` so that model files, atomic data files, configuration
keys and checkpoints made for RecBole 1.2.1 and for its fork ERASE keep working.
"""

__version__ = "0.1.0"

RESULTS_VERSION = 2
"""Raised when numbers change by more than rounding; checkpoints and records carry it."""
