"""The Gaussian mechanism: how much noise hides how much, and what that is worth."""

import math


def gaussian_delta(epsilon: float, sensitivity: float, sigma: float) -> float:
    """Return the ``delta`` of the Gaussian mechanism: that for which ``sigma`` is :func:`gaussian_sigma`."""
    if sensitivity == 0:
        return 0.0
    return 1.25 * math.exp(-0.5 * (epsilon * sigma / sensitivity) ** 2)


def gaussian_sigma(epsilon: float, delta: float, sensitivity: float) -> float:
    """Return the standard deviation ``sensitivity sqrt(2 ln(1.25 / delta)) / epsilon`` of the Gaussian mechanism.

    C. Dwork, A. Roth, "The Algorithmic Foundations of Differential Privacy", 2014 (equation numbers not checked); a
    guarantee for ``epsilon`` up to 1.
    """
    return sensitivity * math.sqrt(2 * math.log(1.25 / delta)) / epsilon
