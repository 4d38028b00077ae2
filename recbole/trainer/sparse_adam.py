"""Adam for models with large tables of which each batch reads few entries."""

import math
from typing import Any

import torch

from recbole.trainer import optimizers


class Adam(optimizers.ByRow, optimizers.Adam):
    """Adam that, for a sparse gradient, updates only the entries of a parameter that still change noticeably.

    In Adam (D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015), an entry whose gradient has
    become zero still changes because of momentum, in each step by at most ``beta1 / sqrt(beta2)`` times the previous
    change. A step therefore updates the entries that have a gradient or had one in the last ``n`` steps. ``n`` (about
    200) is chosen so that the changes left out add up to less than the learning rate times half the machine epsilon.
    The result differs from Adam's only by these changes and by rounding.

    For each entry the optimizer state contains the two moments at the step of its last gradient, and the number of this
    step (``last``). The moments at later steps are computed from them in closed form.

    With weight decay, or if ``beta1 >= sqrt(beta2)`` (changes need not shrink), sparse gradients are made dense.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._moving: dict[torch.Tensor, list[torch.Tensor]] = {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load an optimizer state. The next step determines anew which entries still change."""
        super().load_state_dict(state_dict)
        self._moving = {}

    def _move(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        """Update the entries that still change, or make the gradient dense and leave the update to PyTorch.

        Arguments: see :meth:`ByRow._move`.
        """
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
        """Remove a parameter's sparse gradient and return it; count a step in the parameter's optimizer state.

        The state is created if there is none yet.

        Returns:
            ``(place, gradient, state)``: indices into the flattened parameter, int64 [n]; the gradients of these
            entries, float [n]; and the parameter's state, a dict with ``step``, ``exp_avg`` and ``exp_avg_sq``.
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
    """Lazy Adam: for a sparse gradient, only the entries in the gradient and their moments change.

    Adam would also change other entries, because of momentum. The update is that of PyTorch's ``SparseAdam``, which
    does not accept dense gradients. For a dense gradient this class is Adam. Weight decay applies only to parameters
    with dense gradients.
    """

    def _move(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        """Update the entries in a sparse gradient, and their moments; arguments: see :meth:`ByRow._move`."""
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
    """Update some entries of a parameter in place by Adam's rule.

    Args:
        parameter: the parameter.
        place: int64 [n], the indices of the entries in the flattened parameter.
        first, second: float [n], the first and second moments of these entries; overwritten.
        step: number of steps so far, including this one.
        group: options of the parameter's group, of which ``betas``, ``eps`` and ``lr`` are read.
    """
    beta1, beta2 = group["betas"]
    unbiased = (second / (1 - beta2**step)).sqrt_().add_(group["eps"])
    change = first.div_(unbiased).mul_(-group["lr"] / (1 - beta1**step))
    parameter.view(-1).scatter_add_(0, place, change)


def _horizon(beta1: float, beta2: float, precision: float) -> int:
    """Return after how many steps without gradient all later changes of an entry together are negligible.

    Negligible means below ``precision`` times the learning rate. By the Cauchy-Schwarz inequality, the first moment
    divided by the root of the second is at most ``(1 - beta1) / sqrt((1 - beta2) (1 - beta1^2 / beta2))``. The same is
    true of the change in one step divided by the learning rate. A geometric series bounds the sum of later changes.
    """
    ratio = beta1 / math.sqrt(beta2)
    if not ratio:
        return 0
    most = (1 - beta1) / math.sqrt((1 - beta2) * (1 - ratio**2)) / (1 - ratio)
    return math.ceil(math.log(precision / most) / math.log(ratio))
