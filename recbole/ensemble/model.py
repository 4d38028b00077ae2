"""An ensemble is a model: the models of its shards, and what puts their scores together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.ensemble.aggregate import get_aggregator
from recbole.ensemble.aggregate.base import Aggregator
from recbole.model import get_model
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import UserError

SHARD_OF, WITHOUT = "shard_of", "without"
"""The tensors of a checkpoint beside parameters: the shard of each log row, and what the parameters never saw."""


def part_of(dataset: Dataset, shard_of: np.ndarray, shard: int) -> Dataset:
    """Return what a shard's model knows of some data: the rows of its shard, under the data's mask."""
    return dataset.part(shard_of != shard).masked(dataset.forgotten)


class Ensemble(AbstractRecommender):
    """The models of shards, frozen, and an aggregation of them, which is what :meth:`calculate_loss` trains.

    It is empty until :meth:`build` has been given a partition: by whoever trains it, or by a checkpoint, which holds
    its partition.

    Args:
        config: reads ``model``, ``aggregate`` and ``num_shards``.
        dataset: all of the data under the mask.

    Attributes:
        of: the class of the shards' models.
        shards: the models.
        shard_of: int16 [log rows], the shard of each row.
        without: bool [log rows], what was forgotten when the parameters were trained.
        aggregate: the aggregation.
    """

    shard_of: torch.Tensor
    without: torch.Tensor
    aggregate: Aggregator

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.config, self.dataset, self.of = config, dataset, get_model(config["model"])
        self.type, self.input_type = self.of.type, config["MODEL_INPUT_TYPE"]
        self.ITEM_ID, self.n_items, self.device = dataset.iid_field, dataset.n_items, config["device"]
        self.rebuild_changes_scores = self.of.rebuild_changes_scores
        self.shards = nn.ModuleList()

    def build(self, shard_of: np.ndarray) -> None:
        """Make the shards' models and the aggregation for a partition of the log's rows (int [rows])."""
        self.register_buffer(SHARD_OF, torch.from_numpy(shard_of.astype(np.int16)))
        self.register_buffer(WITHOUT, torch.from_numpy(self.dataset.forgotten.copy()))
        models = self._models([part_of(self.dataset, shard_of, k) for k in range(int(self.config["num_shards"]))])
        self.shards = nn.ModuleList(models).requires_grad_(False)
        self.aggregate = get_aggregator(self.config["aggregate"])(self.config, models)
        self._follow()

    def _follow(self) -> None:
        """Let the aggregation take up the data, and whose models there are."""
        log, of = self.dataset.log, self.shard_of.cpu().numpy()
        parts = [part_of(self.dataset, of, k) for k in range(len(self.shards))]
        members = [k for k, part in enumerate(parts) if len(part.train_examples())]
        user_shard = np.zeros(self.dataset.n_users, dtype=np.int64)
        for rows in (self.dataset.forgotten, ~self.dataset.forgotten):  # what a user retains has the last word
            user_shard[log.user[rows]] = of[rows]
        whole = self._models([self.dataset])[0] if self.aggregate.asks_whole else None
        self.aggregate.follow(members, whole, torch.from_numpy(user_shard).to(self.device))

    def _models(self, datasets: Sequence[Dataset]) -> list[AbstractRecommender]:
        """Return a model for each of some data, whose parameters are to be set, without a draw from the generator."""
        state = torch.get_rng_state()
        models = [self.of(self.config, dataset).to(self.device) for dataset in datasets]
        torch.set_rng_state(state)
        return models

    def rebuild(self, dataset: Dataset) -> None:
        """Let each shard's model, and the aggregation, follow the mask."""
        self.dataset = dataset
        shard_of = self.shard_of.cpu().numpy()
        for k, model in enumerate(self.shards):
            model.rebuild(part_of(dataset, shard_of, k))  # type: ignore[operator]  # a module list's are recommenders
        self._follow()

    def make_room(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Build the ensemble that a checkpoint's partition is of."""
        shard_of = state.get(SHARD_OF)
        if not isinstance(shard_of, torch.Tensor) or shard_of.dtype != torch.int16:
            raise UserError("holds no partition: it is of one model, not of an ensemble; leave --ensemble away")
        rows, most = len(self.dataset.log), int(shard_of.max()) if len(shard_of) else -1
        if shard_of.shape != (rows,) or most >= self.config["num_shards"] or int(shard_of.min()) < 0:
            raise UserError(
                f"its partition is of {len(shard_of)} rows in {most + 1} shards; this run has {rows} rows and "
                f"--num_shards {self.config['num_shards']}"
            )
        self.build(shard_of.cpu().numpy())
        return state

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the aggregation; the shards' models stay as they are asked questions."""
        super().train(mode)
        self.shards.eval()
        return self

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the loss of a batch that trains the aggregation."""
        return self.aggregate.loss(interaction)

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch] of (user or sequence, item) pairs."""
        return self.aggregate.predict(interaction)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch, n_items]."""
        return self.aggregate.scores(interaction)
