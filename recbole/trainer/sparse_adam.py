"""Adam for models with large tables of which a batch touches little."""

import torch


class SparseAdam(torch.optim.Adam):
    """Adam that leaves alone what a sparse gradient does not mention; with dense gradients it is Adam.

    D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015; the lazy variant for sparse gradients is
    PyTorch's ``SparseAdam``, which takes no dense ones. Entries without a gradient keep their value and their moments,
    where Adam would go on moving them by momentum: a different, cheaper method. Weight decay, too, is for dense
    gradients alone.
    """

    @torch.no_grad()
    def step(self, closure=None):
        """Make one step; sparse gradients are used up."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._move(parameter, parameter.grad.coalesce(), group)
                    parameter.grad = None
        return super().step(closure)

    def _move(self, parameter, gradient, group):
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        step, (beta1, beta2) = float(state["step"]), group["betas"]
        where, gradient = tuple(gradient.indices()), gradient.values()
        first = state["exp_avg"][where].lerp(gradient, 1 - beta1)
        second = state["exp_avg_sq"][where].lerp(gradient.square(), 1 - beta2)
        state["exp_avg"][where], state["exp_avg_sq"][where] = first, second
        unbiased = (second / (1 - beta2**step)).sqrt() + group["eps"]
        parameter[where] -= group["lr"] / (1 - beta1**step) * first / unbiased
