"""Which random draws of a training belong to the examples' keys, and so are those of any model of another mask."""

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from recbole.config import Config
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.model.keyed_dropout import KeyedDropout


def coupled(config: Config, model: AbstractRecommender) -> list[str]:
    """Return what a trained model shares with its twins, whatever any of them has forgotten.

    Args:
        config: reads ``train_neg_sample_args``.
        model: of any mask.

    Returns:
        Of ``order``, ``negatives``, ``dropout`` and ``initial values`` those that were drawn by the example's (the
        table row's) key: negatives only where some are drawn, dropout only where there is some and all of it is keyed.
        A foreign dropout is seeded for each batch, and moves with its size. Empty for what is not trained.
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
    """Return whether a layer draws dropout from torch's own generator: torch's layers, or one that is called so."""
    if isinstance(layer, KeyedDropout):
        return False
    if isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)):
        return bool(layer.dropout)
    named = isinstance(layer, _DropoutNd) or type(layer).__name__.endswith("Dropout")
    return named and bool(getattr(layer, "p", True))
