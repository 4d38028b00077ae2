"""Vector-Jacobian products, computed by torch's autograd engine."""

from collections.abc import Sequence

import torch

_RUN = getattr(torch.autograd.graph, "_engine_run_backward", None)


def pulled_back(
    outputs: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    vectors: Sequence[torch.Tensor],
    create_graph: bool = False,
) -> tuple[torch.Tensor, ...]:
    """Return the vector-Jacobian product ``sum_i J_i' v_i`` for each input, with ``J_i`` the Jacobian of output ``i``.

    The autograd graph is kept. The result is bit-identical to that of ``torch.autograd.grad``, but is computed by the
    engine below it, which is private to PyTorch. ``torch.autograd.grad`` compares shapes symbolically, for which it
    imports SymPy at the first call. In a system as small as one embedding, the comparison takes a fifth of a product's
    time. The engine checks shapes too. If a version of PyTorch lacks it, ``torch.autograd.grad`` is used.

    Args:
        outputs: tensors with an autograd graph.
        inputs: tensors to differentiate by.
        vectors: one vector per output, of the output's shape.
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
