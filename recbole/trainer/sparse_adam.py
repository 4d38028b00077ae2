"""Adam for models with large tables of which each batch reads few entries."""

import math
from typing import Any

import torch

from recbole.trainer import optimizers


class Adam(optimizers.ByRow, optimizers.Adam):
    """Adam that, for a sparse gradient, updates only the entries that still change noticeably.

    D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015. After its last gradient an entry still
    moves by momentum, in each step by at most ``beta1 / sqrt(beta2)`` of the previous change. A step therefore updates
    the entries that have a gradient or had one in the last ``n`` steps. ``n`` (about 200) is chosen so that the changes
    left out add up to less than the learning rate times half the machine epsilon. The result differs from Adam's only
    by these changes and by rounding. The optimizer stores an entry's moments at the step of its last gradient, and the
    number of this step as ``last``; the moments at later steps are computed from them in closed form.

    With weight decay, or if ``beta1 >= sqrt(beta2)`` (changes need not shrink), sparse gradients are made dense.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._moving: dict[torch.Tensor, list[torch.Tensor]] = {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state. At the next step, the entries that still change are determined from it again."""
        super().load_state_dict(state_dict)
        self._moving = {}

    def _move(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        """Update the entries that still change, or make the sparse gradient dense, so that the optimizer uses it."""
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
        """Take a parameter's sparse gradient away, create its optimizer state if needed, and count a step.

        Returns:
            ``(place, gradient, state)``: indices into the flattened parameter, int64 [n]; their gradients, float [n];
            and the parameter's state, a dict with ``step``, ``exp_avg`` and ``exp_avg_sq``.
        """
        gradient, parameter.grad = _gradient(parameter).coalesce(), None
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)  # PyTorch's fused step needs it on this device
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
    """Lazy Adam: a sparse gradient changes only the entries in it; with dense gradients this is Adam.

    The lazy update is that of PyTorch's ``SparseAdam``, which does not accept dense gradients. Entries without a
    gradient keep their values and moments, whereas Adam would still change them by momentum. Weight decay applies only
    to parameters with dense gradients.
    """

    def _move(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        """Update the entries in the parameter's sparse gradient, and their moments."""
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
    """Update entries of a parameter in place by Adam's rule.

    Args:
        parameter: the parameter.
        place: int64 [n], indices into the flattened parameter.
        first, second: float [n], first and second moments of these entries.
        step: number of steps so far, counting this one.
        group: options of the parameter's group.
    """
    beta1, beta2 = group["betas"]
    unbiased = (second / (1 - beta2**step)).sqrt_().add_(group["eps"])
    change = first.div_(unbiased).mul_(-group["lr"] / (1 - beta1**step))
    parameter.view(-1).scatter_add_(0, place, change)


def _horizon(beta1: float, beta2: float, precision: float) -> int:
    """Return the number of steps without gradient after which all later changes are below ``precision`` times ``lr``.

    By Cauchy and Schwarz ``first / sqrt(second)`` is at most ``(1 - beta1) / sqrt((1 - beta2) (1 - beta1^2 / beta2))``,
    and so is the change in one step divided by ``lr``. The later changes are bounded by a geometric series.
    """
    ratio = beta1 / math.sqrt(beta2)
    if not ratio:
        return 0
    most = (1 - beta1) / math.sqrt((1 - beta2) * (1 - ratio**2)) / (1 - ratio)
    return math.ceil(math.log(precision / most) / math.log(ratio))
