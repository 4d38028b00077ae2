"""PyTorch's optimizers without their precautions against being compiled."""

import inspect
from abc import abstractmethod
from typing import Any

import torch


class Uncompiled(torch.optim.Optimizer):
    """What an optimizer has in common with others, as it is before PyTorch wraps it for its compiler.

    The wrappers keep the compiler from what it cannot trace. They import it for that, which takes as long as importing
    torch itself, and nothing here is compiled. They also switch gradients off during a step, as is done here. Not a
    number differs. To be named before PyTorch's class among the bases.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" not in vars(cls):
            cls.step = torch.no_grad()(inspect.unwrap(cls.step))  # type: ignore[method-assign]


class ByRow(torch.optim.Optimizer):
    """What optimizers share that move by themselves what a sparse gradient is of. To be named before the optimizer."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Make one step; sparse gradients are used up."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._move(parameter, group)
        return super().step(closure)

    @abstractmethod
    def _move(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        """Move a parameter with a sparse gradient and take that away, or make it dense."""


class Adam(Uncompiled, torch.optim.Adam):
    """D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015."""


class AdamW(Uncompiled, torch.optim.AdamW):
    """I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019."""


class SGD(Uncompiled, torch.optim.SGD):
    """Stochastic gradient descent, with or without momentum."""


class Adagrad(Uncompiled, torch.optim.Adagrad):
    """J. Duchi, E. Hazan, Y. Singer, "Adaptive Subgradient Methods", JMLR 2011."""


class RMSprop(Uncompiled, torch.optim.RMSprop):
    """T. Tieleman, G. Hinton, "Lecture 6.5: RMSprop", 2012."""


def check_state(optimizer: torch.optim.Optimizer) -> None:
    """Refuse what an optimizer was given to go on from, if it does not fit its parameters.

    Raises:
        TypeError: an option is of another type than its default.
        ValueError: what is kept of a parameter is no number and of another size.
    """
    for group in optimizer.param_groups:
        for name, usual in optimizer.defaults.items():
            if name not in group or (usual is not None and not isinstance(group[name], type(usual))):
                raise TypeError(f"the optimizer's {name} is not like {usual!r}")
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            counts = name == "step" and isinstance(value, (int, float))
            if not counts and not isinstance(value, torch.Tensor):
                raise TypeError(f"the optimizer's {name} is no number")
            if not counts and value.shape != (() if name == "step" else parameter.shape):
                raise ValueError(f"the optimizer's {name} is of another size")
