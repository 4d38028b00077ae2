"""Weight initialisations under RecBole's names. Use: ``model.apply(xavier_normal_initialization)``."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.init import constant_, xavier_normal_, xavier_uniform_


def _initialise(module: nn.Module, fill: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Fill the weights of an embedding or linear layer using ``fill``, and its bias with 0; ignore other layers."""
    if isinstance(module, nn.Embedding):
        fill(module.weight.data)
    elif isinstance(module, nn.Linear):
        fill(module.weight.data)
        if module.bias is not None:
            constant_(module.bias.data, 0)


def xavier_normal_initialization(module: nn.Module) -> None:
    """Fill embeddings and linear weights from Glorot & Bengio's (AISTATS 2010) normal distribution; zero biases."""
    _initialise(module, xavier_normal_)


def xavier_uniform_initialization(module: nn.Module) -> None:
    """Fill embeddings and linear weights from Glorot & Bengio's (AISTATS 2010) uniform distribution; zero biases."""
    _initialise(module, xavier_uniform_)
