"""When an unlearning run stops to save: after which requests, and which are forgotten together."""

N_CHECKPOINTS = 4
LAST = N_CHECKPOINTS - 1
"""The number of the last checkpoint, at which everything is forgotten."""


def checkpoint_sizes(n: int) -> list[int]:
    """Return after how many of ``n`` requests the four checkpoints are taken."""
    return [n // 4 + 1, n // 2 + 1, 3 * n // 4 + 1, n]


def chunks(n: int, batch_size: int, sizes: list[int]) -> list[tuple[int, int]]:
    """Cut ``n`` requests into pieces of at most ``batch_size`` that never cross a checkpoint.

    Returns:
        A list of ``(start, stop)``.
    """
    cuts, start = [], 0
    for stop in sorted({*sizes, n}):
        cuts += [(at, min(at + batch_size, stop)) for at in range(start, stop, batch_size)]
        start = stop
    return cuts
