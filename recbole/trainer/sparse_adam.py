"""Adam for models with large tables of which a batch touches little."""

import math
from typing import Any

import torch

from recbole.trainer import optimizers


class Adam(optimizers.ByRow, optimizers.Adam):
    """Adam, which for a sparse gradient computes only what moves.

    D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015. After its last gradient an entry is moved
    on by momentum, each step by ``beta1 / sqrt(beta2)`` of the one before, or less. So a step moves the entries with a
    gradient and those that had one in the last ``n`` steps, where ``n`` (some 200) is such that all motion left to an
    entry is less than the learning rate times the rounding error of 1. The others stand still. Nothing differs from
    Adam by more than that, and by rounding. Moments are stored as they were at an entry's last gradient, with the
    number of that step, ``last``; what they are later follows in closed form.

    Where everything moves (weight decay) or may never rest (``beta1 >= sqrt(beta2)``), sparse gradients are made dense.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._moving: dict[torch.Tensor, list[torch.Tensor]] = {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a state; which entries are moving is found in it when it is needed."""
        super().load_state_dict(state_dict)
        self._moving = {}

    def _move(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        (beta1, beta2), precision = group["betas"], torch.finfo(parameter.dtype).eps / 2
        if group["weight_decay"] or beta1**2 >= beta2:
            parameter.grad = _gradient(parameter).to_dense()
            return
        place, gradient, state = self._use_up(parameter)
        if "last" not in state:
            state["last"] = torch.zeros_like(parameter)
        step, oldest = float(state["step"]), float(state["step"]) - _horizon(beta1, beta2, precision)
        stored = [state[name].view(-1) for name in ("exp_avg", "exp_avg_sq", "last")]
        if parameter not in self._moving:
            known = (stored[2] > max(oldest - 1, 0)).nonzero().squeeze(1)
            self._moving[parameter] = [known, *(values[known] for values in stored)]

        first, second, last = (values.index_select(0, place) for values in stored)
        first = first * beta1 ** (step - last) + (1 - beta1) * gradient
        second = second * beta2 ** (step - last) + (1 - beta2) * gradient.square()
        new = [place, first, second, torch.full_like(last, step)]
        for values, value in zip(stored, new[1:], strict=True):
            values[place] = value

        moving = self._moving[parameter]
        going_on = (stored[2].index_select(0, moving[0]) == moving[3]) & (moving[3] >= oldest)
        moving = [torch.cat([old[going_on], more]) for old, more in zip(moving, new, strict=True)]
        self._moving[parameter] = moving
        place, first, second, last = moving
        _descend(parameter, place, first * beta1 ** (step - last), second * beta2 ** (step - last), step, group)

    def _use_up(self, parameter: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Take the gradient away and count a step.

        Returns:
            ``(place, gradient, state)``: int64 [n], which entries of the flat parameter have a gradient, that [n], and
            the parameter's state.
        """
        gradient, parameter.grad = _gradient(parameter).coalesce(), None
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)  # where a fused step looks for it
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        row = torch.zeros((), dtype=torch.int64, device=parameter.device)
        for size, index in zip(gradient.shape, gradient.indices(), strict=False):
            row = row * size + index
        values = gradient.values().flatten(1) if gradient.dense_dim() else gradient.values().unsqueeze(1)
        width = values.shape[1]
        place = row.unsqueeze(1) * width + torch.arange(width, device=row.device)
        return place.flatten(), values.flatten(), state


class SparseAdam(Adam):
    """Adam that leaves alone what a sparse gradient does not mention; with dense gradients it is Adam.

    The lazy variant is PyTorch's ``SparseAdam``, which takes no dense gradients. Entries without a gradient keep their
    value and their moments, where Adam would go on moving them by momentum: a different method. Weight decay, too, is
    for dense gradients alone.
    """

    def _move(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        place, gradient, state = self._use_up(parameter)
        first, second = (state[name].view(-1) for name in ("exp_avg", "exp_avg_sq"))
        beta1, beta2 = group["betas"]
        first[place] = first[place].lerp(gradient, 1 - beta1)
        second[place] = second[place].lerp(gradient.square(), 1 - beta2)
        _descend(parameter, place, first[place], second[place], float(state["step"]), group)


def _gradient(parameter: torch.Tensor) -> torch.Tensor:
    if parameter.grad is None:
        raise ValueError("the parameter has no gradient")
    return parameter.grad


def _descend(
    parameter: torch.Tensor,
    place: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    step: float,
    group: dict[str, Any],
) -> None:
    """Move entries of a parameter by Adam's rule from their moments."""
    beta1, beta2 = group["betas"]
    unbiased = (second / (1 - beta2**step)).sqrt_().add_(group["eps"])
    change = first.div_(unbiased).mul_(-group["lr"] / (1 - beta1**step))
    parameter.view(-1).scatter_add_(0, place, change)


def _horizon(beta1: float, beta2: float, precision: float) -> int:
    """Return after how many steps without a gradient the motion left to an entry is below ``precision`` times ``lr``.

    By Cauchy and Schwarz ``first / sqrt(second)`` is at most ``(1 - beta1) / sqrt((1 - beta2) (1 - beta1^2 / beta2))``,
    and so is the motion of a step over ``lr``; later ones are a geometric series.
    """
    ratio = beta1 / math.sqrt(beta2)
    if not ratio:
        return 0
    most = (1 - beta1) / math.sqrt((1 - beta2) * (1 - ratio**2)) / (1 - ratio)
    return math.ceil(math.log(precision / most) / math.log(ratio))
