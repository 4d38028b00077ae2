"""Fixtures for the tests of unlearning: small data, and models trained on it."""

import numpy as np
import pytest


@pytest.fixture
def data(small_dataset):
    """The small data with a mask of its own for each test."""
    return small_dataset.masked(np.zeros(len(small_dataset.log), dtype=bool))
