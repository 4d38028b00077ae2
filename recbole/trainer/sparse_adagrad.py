"""Adagrad for models with large tables of which a batch touches little."""

from typing import Any

import torch

from recbole.trainer import optimizers


class Adagrad(optimizers.ByRow, optimizers.Adagrad):
    """Adagrad, which for a sparse gradient computes only what moves.

    What has no gradient stays, and so does its sum of squares: a sparse gradient moves the rows that it has, and the
    numbers are those of the dense one, to the bit. Where everything moves (weight decay) it is made dense.
    """

    @property
    def decays(self) -> bool:
        """Whether some parameters decay."""
        return any(group["weight_decay"] for group in self.param_groups)

    def _move(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        if parameter.grad is None:
            raise ValueError("the parameter has no gradient")
        if group["weight_decay"] or group["maximize"]:
            parameter.grad = parameter.grad.to_dense()
            return
        gradient, parameter.grad = parameter.grad.coalesce(), None
        place, values = tuple(gradient.indices()), gradient.values()
        state = self.state[parameter]
        state["step"] += 1
        rate = group["lr"] / (1 + (float(state["step"]) - 1) * group["lr_decay"])
        total = state["sum"][place].addcmul_(values, values)
        state["sum"][place] = total
        parameter[place] = parameter[place].addcdiv_(values, total.sqrt().add_(group["eps"]), value=-rate)
