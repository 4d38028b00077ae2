"""Which random draws two models share if they are trained with the same seed on partly different interactions.

A model shares a draw if the draw depends only on the seed, the epoch and the training example (it is *keyed* by the
example). Two models that are trained after forgetting different interactions then use the same random numbers for all
examples that both are trained on.
"""

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from recbole.config import Config
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.model.keyed_dropout import KeyedDropout


def coupled(config: Config, model: AbstractRecommender) -> list[str]:
    """Return which random draws a model shares with models that are trained with the same seed on other interactions.

    Args:
        config: the setting ``train_neg_sample_args`` is read.
        model: the model.

    Returns:
        Those of the following names that apply; none for a model that is not trained by gradient. ``order``: the order
        of the examples. ``negatives``: the negative items, if negatives are sampled. ``dropout``: the dropout masks, if
        the model has dropout and all of it is :class:`KeyedDropout`; other dropout is seeded per batch and depends on
        the batch size. ``initial values``: the initial values of the parameters.
    """
    if not model.trainable:
        return []
    negatives = config["train_neg_sample_args"]
    holds = {
        "order": True,
        "negatives": bool(negatives and negatives["sample_num"]),
        "dropout": _has_keyed_dropout_alone(model),
        "initial values": True,
    }
    return [name for name, is_so in holds.items() if is_so]


def _has_keyed_dropout_alone(model: nn.Module) -> bool:
    """Return whether the model has dropout, and every dropout layer is a :class:`KeyedDropout`."""
    keyed = [layer for layer in model.modules() if isinstance(layer, KeyedDropout) and layer.p]
    return bool(keyed) and not any(map(_is_foreign, model.modules()))


def _is_foreign(layer: nn.Module) -> bool:
    """Return whether a layer draws dropout masks from PyTorch's generator.

    Layers of any class whose name ends with ``Dropout`` count too, except :class:`KeyedDropout`.
    """
    if isinstance(layer, KeyedDropout):
        return False
    if isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)):
        return bool(layer.dropout)
    named = isinstance(layer, _DropoutNd) or type(layer).__name__.endswith("Dropout")
    return named and bool(getattr(layer, "p", True))
