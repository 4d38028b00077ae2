"""Vector-Jacobian products, computed by a direct call of torch's autograd engine."""

from collections.abc import Sequence

import torch

_RUN = getattr(torch.autograd.graph, "_engine_run_backward", None)


def pulled_back(
    outputs: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    vectors: Sequence[torch.Tensor],
    create_graph: bool = False,
) -> tuple[torch.Tensor, ...]:
    """Return the vector-Jacobian product ``sum_i J_i' v_i`` for each input.

    ``J_i`` is the Jacobian of output ``i`` with respect to the input, and ``'`` means transposed. The autograd graph is
    kept.

    The result is bit-identical to that of ``torch.autograd.grad``. That function compares shapes symbolically, for
    which it imports SymPy at the first call; in a linear system as small as one embedding, this takes a fifth of the
    time of a product. Therefore the function beneath it is called, which checks shapes too but is private to PyTorch.
    If a version of PyTorch lacks it, ``torch.autograd.grad`` is used.

    Args:
        outputs: tensors with an autograd graph.
        inputs: tensors to differentiate by.
        vectors: the vectors ``v_i``: one tensor per output, of the output's shape.
        create_graph: whether the result can be differentiated again.

    Returns:
        One tensor per input, of the input's shape; ``None`` for an input that no output depends on.
    """
    if _RUN is None:
        return torch.autograd.grad(
            outputs, inputs, vectors, retain_graph=True, create_graph=create_graph, allow_unused=True
        )
    found: tuple[torch.Tensor, ...] = _RUN(
        tuple(outputs), tuple(vectors), True, create_graph, tuple(inputs), True, accumulate_grad=False
    )
    return found
