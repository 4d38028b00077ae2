"""When an unlearning run saves checkpoints, and which requests are answered together."""

N_CHECKPOINTS = 4
LAST = N_CHECKPOINTS - 1
"""Index (from 0) of the last checkpoint, which is saved after all requests."""


def checkpoint_sizes(n: int) -> list[int]:
    """Return after how many of ``n`` requests each of the four checkpoints is saved, ascending."""
    return [n // 4 + 1, n // 2 + 1, 3 * n // 4 + 1, n]


def chunks(n: int, batch_size: int, sizes: list[int]) -> list[tuple[int, int]]:
    """Split ``n`` requests into chunks of at most ``batch_size`` that do not cross a checkpoint.

    Args:
        n: number of requests.
        batch_size: the largest number of requests that are answered together.
        sizes: numbers of requests after which checkpoints are saved.

    Returns:
        One pair ``(start, stop)`` per chunk, which consists of the requests ``start`` to ``stop - 1``.
    """
    cuts, start = [], 0
    for stop in sorted({*sizes, n}):
        cuts += [(at, min(at + batch_size, stop)) for at in range(start, stop, batch_size)]
        start = stop
    return cuts
