"""What the tests of this room share: the small data, and models trained on it."""

import numpy as np
import pytest


@pytest.fixture
def data(small_dataset):
    """The small data under a mask of the test's own."""
    return small_dataset.masked(np.zeros(len(small_dataset.log), dtype=bool))
