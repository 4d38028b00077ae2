"""When an unlearning run saves checkpoints, and which requests are answered together."""

N_CHECKPOINTS = 4
LAST = N_CHECKPOINTS - 1
"""The number of the last checkpoint, by which all requests are answered."""


def checkpoint_sizes(n: int) -> list[int]:
    """Return the numbers of requests, of ``n`` in all, after which the four checkpoints are saved."""
    return [n // 4 + 1, n // 2 + 1, 3 * n // 4 + 1, n]


def chunks(n: int, batch_size: int, sizes: list[int]) -> list[tuple[int, int]]:
    """Split ``n`` requests into chunks of at most ``batch_size`` that do not cross a checkpoint.

    Args:
        n: number of requests.
        batch_size: the largest number of requests that are answered together.
        sizes: numbers of requests after which checkpoints are saved.

    Returns:
        Pairs ``(start, stop)`` of request indices; ``stop`` is excluded.
    """
    cuts, start = [], 0
    for stop in sorted({*sizes, n}):
        cuts += [(at, min(at + batch_size, stop)) for at in range(start, stop, batch_size)]
        start = stop
    return cuts
