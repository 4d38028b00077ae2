"""After how many requests an unlearning run saves the model, and which requests are answered together."""

N_CHECKPOINTS = 4
LAST = N_CHECKPOINTS - 1
"""Number (from 0) of the last checkpoint, at which the model is saved after all requests."""


def checkpoint_sizes(n: int) -> list[int]:
    """Return after how many of ``n`` requests the model is saved at each of the four checkpoints.

    The numbers are ascending. Some are equal if there are few requests.
    """
    return [n // 4 + 1, n // 2 + 1, 3 * n // 4 + 1, n]


def chunks(n: int, batch_size: int, sizes: list[int]) -> list[tuple[int, int]]:
    """Split ``n`` requests into chunks of at most ``batch_size``, none of which contains a checkpoint in its middle.

    Args:
        n: number of requests.
        batch_size: the largest number of requests that are answered together.
        sizes: the checkpoints: the numbers of requests after which the model is saved.

    Returns:
        For each chunk a pair ``(start, stop)``: the chunk consists of the requests ``start`` to ``stop - 1``.
    """
    cuts, start = [], 0
    for stop in sorted({*sizes, n}):
        cuts += [(at, min(at + batch_size, stop)) for at in range(start, stop, batch_size)]
        start = stop
    return cuts
