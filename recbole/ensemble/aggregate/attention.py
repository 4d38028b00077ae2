"""RecEraser's aggregation: an attention-weighted sum of the shards' transformed embeddings."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import nn
from torch.nn.functional import dropout

from recbole.config import Config
from recbole.data import Interaction
from recbole.ensemble.aggregate.base import Aggregator, OfVectors
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import UserError

USERS, ITEMS = "user_embedding.weight", "item_embedding.weight"
"""The names of the embedding tables. The aggregation applies only to models that have no other parameters."""


class _Side(nn.Module):
    """The attention network for users or for items, which rates each shard's embedding x by ``h^T relu(W x + b)``.

    Args:
        d: the width of the embeddings. The hidden layer has half of it.
        device: the device of the parameters.
    """

    def __init__(self, d: int, device: torch.device) -> None:
        super().__init__()
        k = max(d // 2, 1)
        self.weight = nn.Parameter(torch.empty(k, d, device=device))
        nn.init.trunc_normal_(self.weight, std=(2 / (k + d)) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(k, device=device))
        self.h = nn.Parameter(torch.full((k,), 0.01, device=device))

    def forward(self, transferred: torch.Tensor) -> torch.Tensor:
        """Return each user's (or item's) attention weights for the shards, which sum to 1, float [shards, n, 1].

        Args:
            transferred: float [shards, n, d], embeddings of n users (or items) in each shard, after the shard's linear
                map.
        """
        hidden = (transferred @ self.weight.T + self.bias).relu()
        return (hidden @ self.h).softmax(dim=0).unsqueeze(2)


class Attention(Aggregator):
    """Combines the embeddings of each user (and item) by an attention-weighted sum over shards, after a linear map.

    C. Chen et al., "Recommendation Unlearning", WWW 2022, Eqs. 5 to 8 in the numbering of its slides. Shard i's
    embedding ``p^i_u`` is mapped to ``p^i_tr = W^i p^i_u + b^i``, with the same map for users and items. The weights
    ``alpha^i_u`` are the softmax over shards of ``h_1^T relu(W_1 p^i_tr + b_1)``, and ``p_u = sum_i alpha^i_u p^i_tr``.
    Items have ``W_2, b_2, h_2`` instead.

    The resulting embeddings replace the embedding tables of a model of the shards' class that is built on all retained
    data. This model's own loss trains the attention. A LightGCN propagates the embeddings over its graph. The loss of
    each batch gets ``aggregate_reg`` / 2 times the squared L2 norm of all ``W^i`` and ``b^i``. In training, dropout
    applies to the users' embeddings.

    ``W^i`` is initialised by Glorot & Bengio's uniform rule, ``b^i`` by zeros, and ``h`` by 0.01, so that at the start
    the result is close to the mean of the mapped embeddings.
    """

    name = "attention"
    asks_whole = True

    def __init__(self, config: Config, shards: Sequence[AbstractRecommender]) -> None:
        super().__init__(config, shards)
        parameter, device = shards[0].get_parameter(USERS), config["device"]
        d = parameter.shape[1]
        self.transfer = nn.Parameter(torch.empty(len(shards), d, d, device=device))
        for matrix in self.transfer:
            nn.init.xavier_uniform_(matrix)
        self.shift = nn.Parameter(torch.zeros(len(shards), 1, d, device=device))
        self.of_users_, self.of_items_ = _Side(d, device), _Side(d, device)
        self.reg, self.p = config["aggregate_reg"], config["aggregate_dropout"]
        self._whole: list[_LossModule] = []
        self._filled = False

    @classmethod
    def refuse(cls, model: AbstractRecommender) -> None:
        """Check that the model's only parameters are a user and an item embedding table of equal width.

        Args:
            model: the model of a shard, trained or not.

        Raises:
            UserError: the model has other parameters, or its scores are not inner products of embeddings.
        """
        OfVectors.refuse.__func__(cls, model)  # type: ignore[attr-defined]
        shapes = {name: parameter.shape[1:] for name, parameter in model.named_parameters()}
        if set(shapes) != {USERS, ITEMS} or shapes[USERS] != shapes[ITEMS]:
            raise UserError(
                f"--aggregate attention combines user and item embeddings, but {type(model).__name__} has other "
                "parameters too; use --aggregate mean_embedding, static or mean"
            )

    def follow(self, members: Sequence[int], whole: AbstractRecommender | None, user_shard: torch.Tensor) -> None:
        """Set ``members``, and the model into which the combined embeddings are put.

        Args:
            members: numbers of the shards with training examples, ascending.
            whole: a model of the shards' class built on all retained data; None keeps the current one.
            user_shard: int64 [n_users], the shard of each user's rows; not used.
        """
        super().follow(members, whole, user_shard)
        if whole is not None:
            self._whole, self._filled = [_LossModule(whole.eval())], False

    def train(self, mode: bool = True) -> Self:
        """Set the training mode, and discard the combined embeddings, which are computed again on their next use."""
        self._filled = False
        return super().train(mode)

    def rows(self, name: str, ids: torch.Tensor | None = None) -> torch.Tensor:
        """Return combined embeddings, float [n, d], differentiable with respect to the aggregation's parameters.

        Args:
            name: :data:`USERS` or :data:`ITEMS`, the table.
            ids: int64 [n], user or item ids; None returns the whole table.
        """
        tables = [model.get_parameter(name).detach() for model in self.models]
        own = torch.stack([table if ids is None else table.index_select(0, ids) for table in tables])
        transferred = own @ self.transfer[self.members].transpose(1, 2) + self.shift[self.members]
        side = self.of_users_ if name == USERS else self.of_items_
        return (side(transferred) * transferred).sum(dim=0)

    def loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the loss of a batch, a scalar tensor: the loss of the model on all data, plus the L2 penalty.

        The model's embedding tables are replaced by the combined embeddings.

        Args:
            interaction: the training batch, in the form that the shards' models take.
        """
        module = self._whole[0]
        users, items = (self._table(name, interaction) for name in (USERS, ITEMS))
        tables = {f"whole.{USERS}": dropout(users, self.p, self.training), f"whole.{ITEMS}": items}
        loss = torch.func.functional_call(module, tables, (interaction,))
        return loss + self.reg / 2 * (self.transfer.square().sum() + self.shift.square().sum())

    def _table(self, name: str, interaction: Interaction) -> torch.Tensor:
        """Return an embedding table, float [ids, d], with combined embeddings in all rows that the batch's loss reads.

        If the model declares that it reads only the embeddings of the batch's ids (no graph propagation), the other
        rows are zeros. Otherwise all rows are combined embeddings.

        Args:
            name: :data:`USERS` or :data:`ITEMS`, the table.
            interaction: the training batch.
        """
        whole = self._whole[0].whole
        read = {} if whole.reach else whole.reads()
        if name not in read:
            return self.rows(name)
        fields = [interaction[field] for field in read[name] if field in interaction]
        ids = torch.cat(fields).unique()
        table = torch.zeros_like(whole.get_parameter(name))
        return table.index_copy(0, ids, self.rows(name, ids))

    def _model(self) -> AbstractRecommender:
        """Return the model on all data, with the combined embeddings in its embedding tables."""
        whole = self._whole[0].whole
        if not self._filled:
            with torch.no_grad():
                for name in (USERS, ITEMS):
                    whole.get_parameter(name).copy_(self.rows(name))
            self._filled = True
        return whole

    def scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        return self._model().full_sort_predict(interaction)

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores, float [batch], of (user, item) pairs."""
        return self._model().predict(interaction)


class _LossModule(nn.Module):
    """Wraps a model so that calling it returns its loss, for use with :func:`torch.func.functional_call`."""

    def __init__(self, whole: AbstractRecommender) -> None:
        super().__init__()
        self.whole = whole.requires_grad_(False)

    def forward(self, interaction: Interaction) -> torch.Tensor:
        """Return the loss of a batch."""
        return self.whole.calculate_loss(interaction)  # type: ignore[return-value]  # the loss has one term
