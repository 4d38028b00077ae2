"""What every aggregation is: scores of a whole from the models of its shards."""

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
    """Scores of an ensemble from the models of its shards, which are frozen.

    Shards without a training example take no part: their models are as they started. A subclass with parameters is
    trained on all retained examples, by :meth:`loss`.

    Args:
        config: the run's settings.
        shards: the models, in the order of the shards.

    Attributes:
        name: what it is called.
        input_type: how it takes negatives in its training, where that is not the models' own way.
        of_users: whether it means nothing unless all rows of a user are in one shard.
        asks_whole: whether it makes use of a model on all retained data.
    """

    name: ClassVar[str] = ""
    input_type: ClassVar[InputType | None] = None
    of_users: ClassVar[bool] = False
    asks_whole: ClassVar[bool] = False

    def __init__(self, config: Config, shards: Sequence[AbstractRecommender]) -> None:
        super().__init__()
        self.refuse(shards[0])
        self.shards = list(shards)  # a list: their parameters are not this module's
        self.members = list(range(len(shards)))

    @property
    def models(self) -> list[AbstractRecommender]:
        """The models that take part, in the order of their shards."""
        return [self.shards[at] for at in self.members]

    @property
    def trained(self) -> bool:
        """Whether it has parameters, which are trained."""
        return next(self.parameters(), None) is not None

    @classmethod
    def refuse(cls, model: AbstractRecommender) -> None:
        """Refuse a model of a shard that lacks what the aggregation asks for.

        Raises:
            UserError: with the reason.
        """

    def follow(self, members: Sequence[int], whole: AbstractRecommender | None, user_shard: torch.Tensor) -> None:
        """Take up who takes part, after a change of the data or of the shards' parameters.

        Args:
            members: the shards with a training example.
            whole: a model of the shards' class that was built on all retained data, whose parameters mean nothing; None
                where nobody ``asks_whole``.
            user_shard: int64 [n_users], the shard of each user's rows; of no meaning where they are in several.
        """
        self.members = list(members)

    @abstractmethod
    def scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of every item, [batch, n_items]."""

    @abstractmethod
    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch] of (user or sequence, item) pairs."""

    def loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the training loss of a batch, where there is something to train."""
        raise NotImplementedError


class OfVectors(Aggregator):
    """An aggregation that makes one vector of each user and item, whose inner products are the scores."""

    def __init__(self, config: Config, shards: Sequence[AbstractRecommender]) -> None:
        super().__init__(config, shards)
        self.fields = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self._made: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def refuse(cls, model: AbstractRecommender) -> None:
        """Refuse models whose scores are no inner products of vectors."""
        if not isinstance(model, GeneralRecommender) or type(model).vectors is GeneralRecommender.vectors:
            raise UserError(
                f"--aggregate {cls.name} asks for vectors of users and items whose inner products are the scores, and "
                f"{type(model).__name__} has none; --ensemble sisa takes any trained model"
            )

    def follow(self, members: Sequence[int], whole: AbstractRecommender | None, user_shard: torch.Tensor) -> None:
        """Forget the vectors that were made."""
        super().follow(members, whole, user_shard)
        self._made = None

    @property
    def pairs(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The matrices of users and items of the models that take part."""
        return [pair for model in self.models if isinstance(model, GeneralRecommender) and (pair := model.vectors())]

    @abstractmethod
    def combined(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the vectors, [n_users, d] and [n_items, d]."""

    def _vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._made is None:
            with torch.no_grad():
                self._made = self.combined()
        return self._made

    def scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of every item, [batch, n_items]."""
        users, items = self._vectors()
        return users[interaction[self.fields[0]]] @ items.T

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch] of (user, item) pairs."""
        users, items = self._vectors()
        return (users[interaction[self.fields[0]]] * items[interaction[self.fields[1]]]).sum(dim=1)
