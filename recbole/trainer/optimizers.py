"""PyTorch's optimizers without their wrappers for ``torch.compile``, because these take long to import."""

import inspect
from abc import abstractmethod
from typing import Any

import torch


class Uncompiled(torch.optim.Optimizer):
    """Mixin that removes PyTorch's compiler wrappers from the methods of an optimizer.

    The wrappers import the compiler, which takes as long as importing PyTorch itself, although this package compiles
    nothing. They also disable gradients during a step. This class disables them too, so results do not change. In a
    subclass, list this class before PyTorch's optimizer.
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
    """Mixin for optimizers that update parameters with sparse gradients by a method of their own, :meth:`_move`.

    In a subclass, list this class before the optimizer.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Make one optimizer step: :meth:`_move` applies sparse gradients, the optimizer's own step the dense ones."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._move(parameter, group)
        return super().step(closure)

    @abstractmethod
    def _move(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        """Update a parameter by its sparse gradient, and set ``parameter.grad`` to None.

        Alternatively, replace ``parameter.grad`` by a dense gradient; the optimizer's own step then does the update.

        Args:
            parameter: the parameter, changed in place.
            group: options of the parameter's group, such as ``lr``.
        """


class Adam(Uncompiled, torch.optim.Adam):
    """Adam (D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015)."""


class AdamW(Uncompiled, torch.optim.AdamW):
    """AdamW (I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019)."""


class SGD(Uncompiled, torch.optim.SGD):
    """Stochastic gradient descent, with or without momentum."""


class Adagrad(Uncompiled, torch.optim.Adagrad):
    """Adagrad (J. Duchi, E. Hazan, Y. Singer, "Adaptive Subgradient Methods", JMLR 2011)."""


class RMSprop(Uncompiled, torch.optim.RMSprop):
    """RMSprop (T. Tieleman, G. Hinton, "Lecture 6.5: RMSprop", 2012)."""


def check_state(optimizer: torch.optim.Optimizer) -> None:
    """Check the types of the options and the shapes of the tensors in an optimizer state that was read from a file.

    Raises:
        TypeError: an option is missing or has another type than its default, or a parameter's state is not a tensor
            (``step`` may be a number).
        ValueError: a tensor of the state has another shape than its parameter (``step``: is not a scalar).
    """
    for group in optimizer.param_groups:
        for name, usual in optimizer.defaults.items():
            if name not in group or (usual is not None and not isinstance(group[name], type(usual))):
                raise TypeError(f"the optimizer's {name} is missing or has another type than its default {usual!r}")
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            counts = name == "step" and isinstance(value, (int, float))
            if not counts and not isinstance(value, torch.Tensor):
                raise TypeError(f"the optimizer's {name} is not a tensor")
            if not counts and value.shape != (() if name == "step" else parameter.shape):
                raise ValueError(f"the optimizer's {name} has another shape than its parameter")
