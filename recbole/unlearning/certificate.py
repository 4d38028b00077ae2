"""The Gaussian mechanism of differential privacy: noise for a given guarantee, and the guarantee of a given noise."""

import math


def gaussian_delta(epsilon: float, sensitivity: float, sigma: float) -> float:
    """Return the ``delta`` that noise of standard deviation ``sigma`` gives; inverse of :func:`gaussian_sigma`."""
    if sensitivity == 0:
        return 0.0
    return 1.25 * math.exp(-0.5 * (epsilon * sigma / sensitivity) ** 2)


def gaussian_sigma(epsilon: float, delta: float, sensitivity: float) -> float:
    """Return the standard deviation of the noise, ``sensitivity sqrt(2 ln(1.25 / delta)) / epsilon``.

    The guarantee is proved for ``epsilon`` up to 1. C. Dwork, A. Roth, "The Algorithmic Foundations of Differential
    Privacy", 2014 (equation numbers not checked).

    Args:
        epsilon: epsilon of the guarantee, above 0.
        delta: delta of the guarantee, above 0.
        sensitivity: the largest Euclidean distance that the noise has to hide.
    """
    return sensitivity * math.sqrt(2 * math.log(1.25 / delta)) / epsilon
