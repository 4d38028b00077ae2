"""Which random draws in training are keyed by example.

A draw that is keyed by example depends only on the seed, the epoch and the example. So models that are trained with the
same seed, but after forgetting different rows, share these draws for the examples that both retain.
"""

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from recbole.config import Config
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.model.keyed_dropout import KeyedDropout


def coupled(config: Config, model: AbstractRecommender) -> list[str]:
    """Return the kinds of random draws that a model shares with models trained on other rows with the same seed.

    Args:
        config: its ``train_neg_sample_args`` is read.
        model: the model, trained on any rows.

    Returns:
        The names among ``order``, ``negatives``, ``dropout`` and ``initial values`` of the draws that are keyed by
        example (initial values: by table row). ``negatives`` is listed only if negatives are sampled. ``dropout`` is
        listed only if the model has dropout and all of it is :class:`KeyedDropout`; other dropout is seeded per batch
        and depends on the batch size. The list is empty for a model that is not trained by gradient.
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
    """Return whether the model has dropout and all of it is :class:`KeyedDropout`."""
    keyed = [layer for layer in model.modules() if isinstance(layer, KeyedDropout) and layer.p]
    return bool(keyed) and not any(map(_is_foreign, model.modules()))


def _is_foreign(layer: nn.Module) -> bool:
    """Return whether a layer draws dropout from PyTorch's generator; classes named ``...Dropout`` count as well."""
    if isinstance(layer, KeyedDropout):
        return False
    if isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)):
        return bool(layer.dropout)
    named = isinstance(layer, _DropoutNd) or type(layer).__name__.endswith("Dropout")
    return named and bool(getattr(layer, "p", True))
