"""The ensemble as a recommender: the models of its shards, and an aggregation that combines their scores."""

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
"""Names of the buffers that an ensemble's checkpoint holds in addition to parameters; see :class:`Ensemble`."""


def part_of(dataset: Dataset, shard_of: np.ndarray, shard: int) -> Dataset:
    """Return the data on which a shard's model is trained: only the shard's rows, with the mask of forgotten rows.

    Args:
        dataset: all data, with the mask of forgotten rows.
        shard_of: int16 [rows], the shard of each log row.
        shard: the shard's number.
    """
    return dataset.part(shard_of != shard).masked(dataset.forgotten)


class Ensemble(AbstractRecommender):
    """A recommender that consists of one model per shard, and an aggregation that combines the models' scores.

    Training an ensemble with :meth:`calculate_loss` changes only the aggregation; the shards' models were trained
    before and are fixed. The ensemble has no shards until :meth:`build` receives a partition, from the training code or
    from a checkpoint.

    Args:
        config: the settings, of which ``model``, ``aggregate`` and ``num_shards`` determine the ensemble.
        dataset: all data, with the mask of forgotten rows.

    Attributes:
        of: the class of the shards' models.
        shards: the shards' models, by shard number.
        shard_of: int16 [log rows], the shard of each row.
        without: bool [log rows], the mask of forgotten rows with which the parameters were trained.
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
        """Create the shards' models and the aggregation, with initial parameters.

        Args:
            shard_of: int [rows], the shard of each log row.
        """
        self.register_buffer(SHARD_OF, torch.from_numpy(shard_of.astype(np.int16)))
        self.register_buffer(WITHOUT, torch.from_numpy(self.dataset.forgotten.copy()))
        models = self._models([part_of(self.dataset, shard_of, k) for k in range(int(self.config["num_shards"]))])
        self.shards = nn.ModuleList(models).requires_grad_(False)
        self.aggregate = get_aggregator(self.config["aggregate"])(self.config, models)
        self._follow()

    def _follow(self) -> None:
        """Tell the aggregation which shards have training examples, and in which shard each user's rows are.

        A user without retained rows counts as a user of the shard with the forgotten rows.
        """
        log, of = self.dataset.log, self.shard_of.cpu().numpy()
        parts = [part_of(self.dataset, of, k) for k in range(len(self.shards))]
        members = [k for k, part in enumerate(parts) if len(part.train_examples())]
        user_shard = np.zeros(self.dataset.n_users, dtype=np.int64)
        for rows in (self.dataset.forgotten, ~self.dataset.forgotten):  # retained rows overwrite forgotten ones
            user_shard[log.user[rows]] = of[rows]
        whole = self._models([self.dataset])[0] if self.aggregate.asks_whole else None
        self.aggregate.follow(members, whole, torch.from_numpy(user_shard).to(self.device))

    def _models(self, datasets: Sequence[Dataset]) -> list[AbstractRecommender]:
        """Create one model of the shards' class for each data set.

        The parameters have random values, which the callers replace or do not use. The state of torch's global random
        generator does not change.
        """
        state = torch.get_rng_state()
        models = [self.of(self.config, dataset).to(self.device) for dataset in datasets]
        torch.set_rng_state(state)
        return models

    def rebuild(self, dataset: Dataset) -> None:
        """Recompute what the models and the aggregation derive from the data, such as graphs, for a new mask.

        Args:
            dataset: all data, with the new mask of forgotten rows.
        """
        self.dataset = dataset
        shard_of = self.shard_of.cpu().numpy()
        for k, model in enumerate(self.shards):
            model.rebuild(part_of(dataset, shard_of, k))  # type: ignore[operator]  # the modules are recommenders
        self._follow()

    def make_room(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Build the ensemble with the partition of a checkpoint, so that the checkpoint's parameters fit.

        Args:
            state: the checkpoint's ``state_dict``.

        Returns:
            ``state``, unchanged.

        Raises:
            UserError: the checkpoint is not an ensemble's, or has another number of rows or too many shards. The caller
                puts the file's path before the message.
        """
        shard_of = state.get(SHARD_OF)
        if not isinstance(shard_of, torch.Tensor) or shard_of.dtype != torch.int16:
            raise UserError("has no partition: it is a single model, not an ensemble; leave out --ensemble")
        rows, most = len(self.dataset.log), int(shard_of.max()) if len(shard_of) else -1
        if shard_of.shape != (rows,) or most >= self.config["num_shards"] or int(shard_of.min()) < 0:
            raise UserError(
                f"its partition has {len(shard_of)} rows in {most + 1} shards, but this run has {rows} rows and "
                f"--num_shards {self.config['num_shards']}; use the data and the settings with which it was trained"
            )
        self.build(shard_of.cpu().numpy())
        return state

    def train(self, mode: bool = True) -> Self:
        """Set the aggregation's training mode; the models of the shards stay in evaluation mode."""
        super().train(mode)
        self.shards.eval()
        return self

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the loss of a batch for training the aggregation, a scalar tensor."""
        return self.aggregate.loss(interaction)

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores, float [batch], of (user or sequence, item) pairs."""
        return self.aggregate.predict(interaction)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        return self.aggregate.scores(interaction)
