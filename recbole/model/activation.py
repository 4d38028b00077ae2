"""Activation functions, under RecBole's names."""

import torch
from torch import nn

from recbole.utils import UserError, suggest

Activation = str | type[nn.Module] | None
"""How an activation is given: RecBole's name, a module class, or None for no activation."""

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "swish": nn.SiLU,
}


def activation_layer(activation_name: Activation = "relu", emb_dim: int | None = None) -> nn.Module | None:
    """Return a new activation module, or ``None`` if the name is ``None`` or ``"none"``.

    Args:
        activation_name: one of RecBole's names in any case, or a module class.
        emb_dim: size of the last dimension of the activation's input; only ``"dice"`` needs it.

    Raises:
        UserError: the name is unknown.
    """
    if activation_name is None or isinstance(activation_name, type):
        return None if activation_name is None else activation_name()
    name = activation_name.lower()
    if name == "none":
        return None
    if name == "dice":
        return Dice(emb_dim)  # type: ignore[arg-type]  # PyTorch raises an error if the size is None
    if name not in _ACTIVATIONS:
        raise UserError(f"there is no activation '{activation_name}'{suggest(name, _ACTIVATIONS)}")
    return _ACTIVATIONS[name]()


class Dice(nn.Module):
    """The activation ``p x + (1 - p) a x`` with ``p = sigmoid(x)`` and a learned ``a`` for each of ``emb_size`` units.

    G. Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018, where ``x`` is normalised over
    the batch within the sigmoid; this is omitted here, as in RecBole.
    """

    def __init__(self, emb_size: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(emb_size))

    def forward(self, score: torch.Tensor) -> torch.Tensor:
        """Return the activation of each element; input and result are float [..., emb_size]."""
        p = torch.sigmoid(score)
        return score * (p + (1 - p) * self.alpha)
