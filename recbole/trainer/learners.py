"""The optimizers that ``learner`` names, made as a configuration says."""

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
"""PyTorch's beta1, beta2 and eps."""
_FEW = 4
"""A table of which a batch reads fewer rows than one in so many moves row by row."""


def make_optimizer(config: Config, model: torch.nn.Module, learning_rate: float | None = None) -> torch.optim.Optimizer:
    """Return the optimizer that ``learner``, ``learning_rate``, ``weight_decay`` and its own settings describe.

    It has all parameters: those that are frozen get no gradient and stay, until they are thawed.
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
    """Leave of the gradients of tables that are only looked up (``row_tables``) the rows of a batch, as sparse ones.

    The others are zero. This is done where they then move nothing: by Adagrad without weight decay.
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
