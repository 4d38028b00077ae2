"""Adagrad for models with large tables of which each batch reads few rows."""

from typing import Any

import torch

from recbole.trainer import optimizers


class Adagrad(optimizers.ByRow, optimizers.Adagrad):
    """Adagrad that, for a sparse gradient, updates only the rows that the gradient contains.

    Adagrad without weight decay leaves rows with zero gradient as they are, so the results are bit-identical to those
    with a dense gradient. With weight decay all rows change; a sparse gradient is then made dense first.
    """

    @property
    def decays(self) -> bool:
        """Whether any parameter group has weight decay."""
        return any(group["weight_decay"] for group in self.param_groups)

    def _move(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        """Update the rows in a parameter's sparse gradient, or make the gradient dense and leave the update to PyTorch.

        Arguments: see :meth:`ByRow._move`.
        """
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
