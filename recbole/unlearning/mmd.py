r"""Squared maximum mean discrepancy (MMD) between two groups under five Gaussian kernels, and its gradient, in blocks.

The MMD measures how different two distributions are. It is computed for points z_1 .. z_n, of which n_0 belong to one
group and n_1 to the other, with weights w_i = 1/n_0 for the one and -1/n_1 for the other::

    MMD^2 = sum_ij w_i w_j k(z_i, z_j)          k(x, y) = sum_{r < 5} exp(-|x - y|^2 / (2^r b))

This is the biased estimate: the sum includes the pairs i = j, and it is 0 if both groups have the same points. The
bandwidth b is a quarter of the mean of |z_i - z_j|^2 over i != j; the gradient treats it as a constant. All five
kernels are powers of exp(-|x - y|^2 / (16 b)). With k' = dk / d|x - y|^2 the gradient with respect to z_i is
``4 w_i sum_j w_j k'_ij (z_i - z_j)``. This uses squared distances only, so it is finite where points coincide. (A.
Gretton et al., "A Kernel Two-Sample Test", JMLR 2012; equation numbers not checked.)
"""

import torch

TILE = 512
"""Number of points on each side of a block of the kernel matrix, which is computed block by block.

In :func:`mmd_estimate` one side has eight times as many.
"""

_POWERS = 5


def bandwidth(points: torch.Tensor) -> float:
    """Return the bandwidth b of the kernels: a quarter of the mean squared distance between two of the points.

    ``points`` is float [n, d] with n > 1. If all points are equal, the result is a tiny number above 0.
    """
    n = len(points)
    centred = points - points.mean(dim=0)
    total = 2 * n * float(centred.square().sum(dtype=torch.float64))
    total -= 2 * float(centred.sum(dim=0, dtype=torch.float64).square().sum())
    tiny = torch.finfo(points.dtype).tiny * 2**_POWERS
    return max(total / (4 * n * (n - 1)), tiny)


def mmd(points: torch.Tensor, n_first: int) -> tuple[float, torch.Tensor]:
    """Return MMD^2 between two groups of points, and its gradient with respect to the points.

    All pairs of points are compared, in O(n^2 d) time and O(n d) memory.

    Args:
        points: float [n, d]; the first ``n_first`` rows are one group, the others the other group.
        n_first: size of the first group; neither group may be empty.

    Returns:
        The value (0 or more; the smaller, the harder it is to tell the groups apart), and the gradient, float [n, d].
    """
    points, weight = points - points.mean(dim=0), _weights(points, n_first)
    width, gradient, value = 16 * bandwidth(points), torch.zeros_like(points), 0.0
    for a in range(0, len(points), TILE):
        left = slice(a, a + TILE)
        for b in range(a, len(points), TILE):
            right, times = slice(b, b + TILE), 1.0 if a == b else 2.0
            kernel, slope = _kernel(points[left], points[right], width, diagonal=a == b)
            value += times * float(weight[left] @ kernel @ weight[right])
            _pull(gradient, points, weight, left, right, slope, 4.0)
            if a != b:
                _pull(gradient, points, weight, right, left, slope.T, 4.0)
    return value, gradient


def mmd_estimate(
    points: torch.Tensor, n_first: int, rows: tuple[torch.Tensor, torch.Tensor]
) -> tuple[float, torch.Tensor]:
    """Return an estimate of :func:`mmd` that compares only a sample of the points with all points.

    For a given bandwidth its expectation is the result of :func:`mmd`. It takes O(n m d) time for a sample of m points.

    Args:
        points: float [n, d]; the first ``n_first`` rows are one group, the others the other group.
        n_first: size of the first group; neither group may be empty.
        rows: two arrays of row indices in ``points`` (int64): the sampled points of the first group, and those of the
            second group. Each sample is drawn uniformly.

    Returns:
        The estimated value, and the gradient of this estimate with respect to the points, float [n, d].
    """
    points, weight = points - points.mean(dim=0), _weights(points, n_first)
    places, sizes = torch.cat(rows), (n_first, len(points) - n_first)
    shares = [weight.new_full((len(own),), size / max(len(own), 1)) for own, size in zip(rows, sizes, strict=True)]
    times = torch.cat(shares)
    width, gradient, value = 16 * bandwidth(points), torch.zeros_like(points), 0.0
    for at in range(0, len(places), TILE):
        own = places[at : at + TILE]
        some, of_some = points[own], weight[own] * times[at : at + TILE]
        pulled = torch.zeros_like(some)
        for b in range(0, len(points), TILE * 8):
            right = slice(b, b + TILE * 8)
            kernel, slope = _kernel(some, points[right], width)
            value += float(of_some @ kernel @ weight[right])
            pulled += _mean_pull(some, slope, points[right], weight[right])
            back = _mean_pull(points[right], slope.T, some, of_some)
            gradient[right] += 2 * weight[right].unsqueeze(1) * back
        gradient.index_add_(0, own, 2 * of_some.unsqueeze(1) * pulled)
    return value, gradient


def _weights(points: torch.Tensor, n_first: int) -> torch.Tensor:
    """Return the weight of each point, float [n]: one over the group's size, negative in the second group."""
    weight = points.new_full((len(points),), 1 / n_first)
    weight[n_first:] = -1 / (len(points) - n_first)
    return weight


def _kernel(
    left: torch.Tensor, right: torch.Tensor, width: float, diagonal: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the kernel values and their derivatives with respect to the squared distance, both float [a, b].

    Args:
        left, right: the points, float [a, d] and float [b, d].
        width: 16 times the bandwidth.
        diagonal: whether ``left`` and ``right`` are the same points; the distance of a point to itself is then set to
            exactly 0.
    """
    distance = torch.addmm(right.square().sum(dim=1).unsqueeze(0), left, right.T, alpha=-2)
    distance.add_(left.square().sum(dim=1, keepdim=True)).clamp_min_(0)
    if diagonal:
        distance.fill_diagonal_(0)
    power = distance.mul_(-1 / width).exp_()
    kernel, slope = power.clone(), power.clone()
    for r in range(1, _POWERS):
        power = power.square() if r == 1 else power.square_()
        kernel.add_(power)
        slope.add_(power, alpha=2**r)
    return kernel, slope.mul_(-1 / width)


def _mean_pull(own: torch.Tensor, slope: torch.Tensor, others: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return ``sum_j w_j k'_ij (z_i - z_j)`` for each point i of ``own``, float [a, d].

    Args:
        own: float [a, d], the points z_i.
        slope: float [a, b], the derivatives k'_ij of the kernel with respect to the squared distance.
        others: float [b, d], the points z_j.
        weight: float [b], the weights w_j.
    """
    return (slope @ weight).unsqueeze(1) * own - slope @ (weight.unsqueeze(1) * others)


def _pull(
    gradient: torch.Tensor,
    points: torch.Tensor,
    weight: torch.Tensor,
    own: slice,
    others: slice,
    slope: torch.Tensor,
    times: float,
) -> None:
    """Add ``times w_i sum_j w_j k'_ij (z_i - z_j)`` to the gradient of each point i of ``own``, in place.

    Args:
        gradient: float [n, d], changed in the rows ``own``.
        points: float [n, d], all points z.
        weight: float [n], the weights w of all points.
        own, others: slices of the row numbers i of these points, and of the row numbers j to sum over.
        slope: float [own, others], the derivatives k'_ij of the kernel with respect to the squared distance.
        times: the factor in the formula.
    """
    pulled = _mean_pull(points[own], slope, points[others], weight[others])
    gradient[own] += times * weight[own].unsqueeze(1) * pulled
