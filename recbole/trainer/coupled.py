"""Which random draws in training are keyed by example, and so are the same for models trained on other masks."""

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from recbole.config import Config
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.model.keyed_dropout import KeyedDropout


def coupled(config: Config, model: AbstractRecommender) -> list[str]:
    """Return which random draws a trained model shares with models trained on other masks with the same seed.

    Args:
        config: reads ``train_neg_sample_args``.
        model: the model, with any mask.

    Returns:
        Those of ``order``, ``negatives``, ``dropout`` and ``initial values`` that are keyed by example (initial values:
        by table row). ``negatives`` is listed only if negatives are sampled. ``dropout`` is listed only if there is
        dropout and all of it is :class:`KeyedDropout`; other dropout is seeded per batch and depends on the batch size.
        The list is empty for a model that is not trained by gradient.
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
