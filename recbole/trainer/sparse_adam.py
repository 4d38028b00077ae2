"""Adam that moves only what a sparse gradient mentions."""

from typing import Any

import torch

from recbole.trainer import optimizers


class SparseAdam(optimizers.Adam):
    """Adam that leaves alone what a sparse gradient does not mention; with dense gradients it is Adam.

    The lazy variant is PyTorch's ``SparseAdam``, which takes no dense gradients. Entries without a gradient keep their
    value and their moments, where Adam (D. Kingma, J. Ba, ICLR 2015) would go on moving them by momentum: a different
    method. Weight decay, too, is for dense gradients alone.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Make one step; sparse gradients are used up."""
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is not None and gradient.is_sparse:
                    parameter.grad = None
                    self._move(parameter, gradient.coalesce(), group)
        return super().step(closure)

    def _move(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        """Move the entries, or the rows, that a sparse gradient mentions."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)  # where a fused step looks for it
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        (beta1, beta2), step = group["betas"], float(state["step"])
        place, values = tuple(gradient.indices()), gradient.values()
        first = state["exp_avg"][place].lerp(values, 1 - beta1)
        second = state["exp_avg_sq"][place].lerp(values.square(), 1 - beta2)
        state["exp_avg"][place], state["exp_avg_sq"][place] = first, second
        unbiased = (second / (1 - beta2**step)).sqrt_().add_(group["eps"])
        parameter[place] -= group["lr"] / (1 - beta1**step) * first / unbiased
