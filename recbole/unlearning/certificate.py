"""The Gaussian mechanism of differential privacy: which noise gives which (epsilon, delta) guarantee."""

import math


def gaussian_delta(epsilon: float, sensitivity: float, sigma: float) -> float:
    """Return the delta that Gaussian noise guarantees for a given epsilon; the inverse of :func:`gaussian_sigma`.

    Args:
        epsilon: epsilon of the guarantee, above 0.
        sensitivity: the largest Euclidean distance between two results (here: the unlearned and the retrained
            parameters) that the noise has to make indistinguishable; 0 gives a delta of 0.
        sigma: standard deviation of the noise on each number.

    Returns:
        The delta, between 0 and 1.25. Smaller is a better guarantee; 1 or more is none.
    """
    if sensitivity == 0:
        return 0.0
    return 1.25 * math.exp(-0.5 * (epsilon * sigma / sensitivity) ** 2)


def gaussian_sigma(epsilon: float, delta: float, sensitivity: float) -> float:
    """Return the standard deviation of Gaussian noise that gives an (epsilon, delta) guarantee.

    It is ``sensitivity sqrt(2 ln(1.25 / delta)) / epsilon``. The guarantee is proved for ``epsilon`` up to 1. C. Dwork,
    A. Roth, "The Algorithmic Foundations of Differential Privacy", 2014 (equation numbers not checked).

    Args:
        epsilon: epsilon of the guarantee, above 0.
        delta: delta of the guarantee, above 0.
        sensitivity: the largest Euclidean distance that the noise has to hide, see :func:`gaussian_delta`.
    """
    return sensitivity * math.sqrt(2 * math.log(1.25 / delta)) / epsilon
