"""Creates the optimizer that the setting ``learner`` selects."""

import torch

from recbole.config import Config
from recbole.data import Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer import optimizers
from recbole.trainer.sparse_adagrad import Adagrad
from recbole.trainer.sparse_adam import Adam, SparseAdam

OPTIMIZERS = {
    "adam": Adam,
    "adamw": optimizers.AdamW,
    "sgd": optimizers.SGD,
    "adagrad": Adagrad,
    "rmsprop": optimizers.RMSprop,
    "sparse_adam": SparseAdam,
}
_ADAM = (0.9, 0.999, 1e-8)
"""PyTorch's defaults for beta1, beta2 and eps."""
_FEW = 4
"""A look-up table gets a sparse gradient if a batch reads at most this fraction, 1 / _FEW, of its rows."""


def make_optimizer(config: Config, model: torch.nn.Module, learning_rate: float | None = None) -> torch.optim.Optimizer:
    """Return the configured optimizer for all parameters of a model.

    Parameters with ``requires_grad=False`` are included; they get no gradient and do not change.

    Args:
        config: the settings ``learner``, ``learning_rate`` and ``weight_decay`` are read, and ``adam_*`` or
            ``adagrad_accumulator``.
        model: the model to optimise.
        learning_rate: replaces the configured learning rate; None uses the configured one.
    """
    name = config["learner"].lower()
    options = {"lr": learning_rate or config["learning_rate"], "weight_decay": config["weight_decay"] or 0.0}
    if name in ("adam", "adamw", "sparse_adam"):
        given = {key: config[f"adam_{key}"] for key in ("beta1", "beta2", "eps")}
        beta1, beta2, eps = (d if value is None else value for value, d in zip(given.values(), _ADAM, strict=True))
        options |= {"betas": (beta1, beta2), "eps": eps, "fused": True}
    if name == "adagrad":
        options["initial_accumulator_value"] = config["adagrad_accumulator"] or 0.0
    return OPTIMIZERS[name](list(model.parameters()), **options)


def rows_alone(optimizer: torch.optim.Optimizer, model: AbstractRecommender, batch: Interaction) -> None:
    """Make the gradients of look-up tables sparse, with only the rows that a batch reads, where this saves time.

    Look-up tables are the parameters that the model lists in ``row_tables``; the rows that a batch does not read have
    zero gradient. A gradient is made sparse only if the batch reads few of the table's rows, and the optimizer is
    Adagrad without weight decay, which leaves rows with zero gradient as they are.

    Args:
        optimizer: the model's optimizer.
        model: the model after the backward pass; ``grad`` of some parameters is replaced.
        batch: the batch that the loss was computed on.
    """
    if not isinstance(optimizer, Adagrad) or optimizer.decays:
        return
    for name, fields in model.row_tables.items():
        table = model.get_parameter(name)
        ids = torch.cat([batch[field].reshape(-1) for field in fields if field in batch])
        if table.grad is None or table.grad.is_sparse or _FEW * len(ids) > len(table):
            continue
        rows = torch.unique(ids)
        table.grad = torch.sparse_coo_tensor(
            rows.unsqueeze(0), table.grad[rows], table.shape, check_invariants=False, is_coalesced=True
        )
