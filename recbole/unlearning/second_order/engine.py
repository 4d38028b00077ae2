"""Vector-Jacobian products by torch's autograd engine."""

from collections.abc import Sequence

import torch

_RUN = getattr(torch.autograd.graph, "_engine_run_backward", None)


def pulled_back(
    outputs: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    vectors: Sequence[torch.Tensor],
    create_graph: bool = False,
) -> tuple[torch.Tensor, ...]:
    """Return ``sum_i J_i' v_i`` for each input, None for one that no output depends on; the graph is kept.

    What ``torch.autograd.grad`` returns, to the bit. For the sake of compiled programs that compares the shapes of
    outputs and vectors as symbols: the first time it imports SymPy, and each time it takes a fifth of the product in a
    system of the size of one embedding. The engine refuses other shapes as well. It is private to PyTorch: where it is
    gone, ``torch.autograd.grad`` is asked.

    Args:
        outputs: with a graph.
        inputs: what is differentiated by.
        vectors: of the outputs' shapes.
        create_graph: whether the result has derivatives itself.
    """
    if _RUN is None:
        return torch.autograd.grad(
            outputs, inputs, vectors, retain_graph=True, create_graph=create_graph, allow_unused=True
        )
    found: tuple[torch.Tensor, ...] = _RUN(
        tuple(outputs), tuple(vectors), True, create_graph, tuple(inputs), True, accumulate_grad=False
    )
    return found
