"""Base classes of the aggregations, which compute an ensemble's scores from its shards' models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from recbole.config import Config
from recbole.data import Interaction
from recbole.model.abstract_recommender import AbstractRecommender, GeneralRecommender
from recbole.utils import InputType, UserError


class Aggregator(nn.Module, ABC):
    """Base class of aggregations, which compute an ensemble's scores from the models of its shards.

    The shards' models are fixed: only the aggregation's own parameters are trained, by :meth:`loss` on all retained
    examples. Shards without training examples are left out, because their models are untrained.

    Args:
        config: the run's settings.
        shards: the shards' models, by shard number.

    Attributes:
        name: the value of ``--aggregate`` that selects the class.
        input_type: the form of the batches on which the aggregation is trained (``PAIRWISE``: each row has one negative
            item); None for the form on which the shards' models are trained.
        of_users: True if all rows of a user must be in one shard.
        asks_whole: True if the aggregation needs a model of the shards' class that is built on all retained data.
        members: numbers of the shards with training examples, ascending.
    """

    name: ClassVar[str] = ""
    input_type: ClassVar[InputType | None] = None
    of_users: ClassVar[bool] = False
    asks_whole: ClassVar[bool] = False

    def __init__(self, config: Config, shards: Sequence[AbstractRecommender]) -> None:
        super().__init__()
        self.refuse(shards[0])
        self.shards = list(shards)  # a plain list, so that their parameters are not registered in this module
        self.members = list(range(len(shards)))

    @property
    def models(self) -> list[AbstractRecommender]:
        """The models of the shards with training examples, in the order of the shard numbers."""
        return [self.shards[at] for at in self.members]

    @property
    def trained(self) -> bool:
        """Whether the aggregation has parameters to train."""
        return next(self.parameters(), None) is not None

    @classmethod
    def refuse(cls, model: AbstractRecommender) -> None:
        """Check that the aggregation can combine models of the given model's kind; the base class accepts all models.

        Args:
            model: the model of a shard, trained or not.

        Raises:
            UserError: the aggregation cannot combine such models; the message says why.
        """

    def follow(self, members: Sequence[int], whole: AbstractRecommender | None, user_shard: torch.Tensor) -> None:
        """Update the aggregation after a change of the data or of the shards' parameters.

        Args:
            members: numbers of the shards with training examples, ascending.
            whole: a model of the shards' class built on all retained data, with untrained parameters; None unless
                ``asks_whole``.
            user_shard: int64 [n_users], the shard of each user's rows. It must not be used if a user's rows are spread
                over several shards.
        """
        self.members = list(members)

    @abstractmethod
    def scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""

    @abstractmethod
    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores, float [batch], of (user or sequence, item) pairs."""

    def loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the loss of a batch, a scalar, for training the aggregation's parameters.

        Raises:
            NotImplementedError: the aggregation has no parameters.
        """
        raise NotImplementedError


class OfVectors(Aggregator):
    """Base class of aggregations that combine the shards' embeddings into one embedding per user and item.

    Scores are inner products of the combined embeddings. Subclasses implement :meth:`combined`.
    """

    def __init__(self, config: Config, shards: Sequence[AbstractRecommender]) -> None:
        super().__init__(config, shards)
        self.fields = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self._made: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def refuse(cls, model: AbstractRecommender) -> None:
        """Check that the model's scores are inner products of user and item embeddings.

        Args:
            model: the model of a shard, trained or not.

        Raises:
            UserError: the scores are computed in another way.
        """
        if not isinstance(model, GeneralRecommender) or type(model).vectors is GeneralRecommender.vectors:
            raise UserError(
                f"--aggregate {cls.name} needs user and item embeddings whose inner products are the scores, but "
                f"{type(model).__name__} has none; use --ensemble sisa, which works with any trained model"
            )

    def follow(self, members: Sequence[int], whole: AbstractRecommender | None, user_shard: torch.Tensor) -> None:
        """Update ``members``, and discard the combined embeddings, which are computed again on their next use.

        Args:
            members: numbers of the shards with training examples, ascending.
            whole: not used.
            user_shard: int64 [n_users], the shard of each user's rows; not used.
        """
        super().follow(members, whole, user_shard)
        self._made = None

    @property
    def pairs(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """For each shard with training examples, its model's user embeddings and item embeddings.

        Each element is a pair of float tensors, [n_users, d] and [n_items, d].
        """
        return [pair for model in self.models if isinstance(model, GeneralRecommender) and (pair := model.vectors())]

    @abstractmethod
    def combined(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the combined user and item embeddings, float [n_users, d] and [n_items, d]."""

    def _vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the user and item embeddings of :meth:`combined`, cached until the data or the shards change."""
        if self._made is None:
            with torch.no_grad():
                self._made = self.combined()
        return self._made

    def scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        users, items = self._vectors()
        return users[interaction[self.fields[0]]] @ items.T

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores, float [batch], of (user, item) pairs."""
        users, items = self._vectors()
        return (users[interaction[self.fields[0]]] * items[interaction[self.fields[1]]]).sum(dim=1)
