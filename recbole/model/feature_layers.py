"""Embeddings of user and item features (such as age or genre), under RecBole's names."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import nn

from recbole.data import Dataset
from recbole.utils import FeatureType, UserError

_NUMBERS = (FeatureType.FLOAT, FeatureType.FLOAT_SEQ)
_LISTS = (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ)


class FieldEmbedding(nn.Module):
    """Embeds one feature of users or items.

    For a categorical feature, each token has its own vector. For a numeric feature, a single vector is multiplied by
    the number. If a user or item has a list of values, their vectors are pooled.

    Args:
        values: the feature of each user or item id: token ids (int64) or numbers, [n_ids], or for lists [n_ids,
            longest], padded with 0.
        kind: :class:`~recbole.utils.FeatureType` of the feature.
        n_tokens: number of distinct tokens including the padding; 1 for numbers.
        size: size of the embedding vectors.
        pooling: ``"mean"``, ``"sum"`` or ``"max"`` over the elements of a list. Elements that are 0 are ignored; an
            empty list gives zeros.
    """

    values: torch.Tensor

    def __init__(self, values: torch.Tensor, kind: FeatureType, n_tokens: int, size: int, pooling: str) -> None:
        super().__init__()
        self.register_buffer("values", values, persistent=False)
        self.kind, self.pooling = kind, pooling
        self.table = nn.Embedding(n_tokens, size)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the feature's vectors, float [..., size], for user or item ids, int64 [...]."""
        values = self.values[ids]
        if self.kind in _NUMBERS:
            vectors = values.unsqueeze(-1) * self.table.weight[0]
        else:
            vectors = self.table(values)
        if self.kind not in _LISTS:
            return vectors
        there = (values != 0).unsqueeze(-1)
        if self.pooling == "max":
            largest = vectors.masked_fill(~there, -torch.inf).amax(dim=-2)
            return torch.where(there.any(dim=-2), largest, 0.0)
        total = (vectors * there).sum(dim=-2)
        return total / there.sum(dim=-2).clamp_min(1) if self.pooling == "mean" else total


class _FeatureEmbeddings(nn.Module):
    """Embeds features of users and items.

    A numeric feature is ignored unless the setting ``numerical_features`` lists it.

    Args:
        dataset: the data with the loaded features.
        embedding_size: size of the embedding vectors.
        fields: dict from ``"user"``, ``"item"`` or both to the names of the features to embed.
        pooling_mode: ``"mean"``, ``"sum"`` or ``"max"``, see :class:`FieldEmbedding`.
        device: the device of the parameters.

    Raises:
        UserError: the pooling mode is unknown, or a feature is not loaded.
    """

    def __init__(
        self,
        dataset: Dataset,
        embedding_size: int,
        fields: Mapping[str, Sequence[str]],
        pooling_mode: str,
        device: torch.device | str,
    ) -> None:
        super().__init__()
        if pooling_mode not in ("mean", "sum", "max"):
            raise UserError(f"pooling_mode: '{pooling_mode}' is not mean, sum or max")
        numerical = dataset.config["numerical_features"] or ()
        features = {"user": dataset.get_user_feature, "item": dataset.get_item_feature}
        self.tokens, self.numbers = nn.ModuleDict(), nn.ModuleDict()
        self.num_feature_field = {}
        for side, names in fields.items():
            columns, kinds = features[side](), dataset.field2type
            missing = next((name for name in names if name not in columns), None)
            if missing is not None:
                raise UserError(f"selected_features: no column '{missing}' of {side}s is loaded; see load_col")
            tables = {FeatureType.TOKEN: nn.ModuleList(), FeatureType.FLOAT: nn.ModuleList()}
            for name in names:
                number = kinds[name] in _NUMBERS
                if not number or name in numerical:
                    n = 1 if number else dataset.num(name)
                    table = FieldEmbedding(columns[name], kinds[name], n, embedding_size, pooling_mode)
                    tables[FeatureType.FLOAT if number else FeatureType.TOKEN].append(table)
            self.tokens[side], self.numbers[side] = tables.values()
            self.num_feature_field[side] = sum(map(len, tables.values()))
        self.to(device)

    def forward(self, user_idx: torch.Tensor, item_idx: torch.Tensor) -> tuple[dict[str, torch.Tensor | None], ...]:
        """Return ``(token features, number features)``, each a dict from ``"user"`` or ``"item"`` to embeddings.

        Args:
            user_idx: int64 [batch], user ids; unused if there are no user features.
            item_idx: int64 [batch, length], item ids.

        Returns:
            The values of both dicts: float [..., fields, size], with the vectors of all features of that type for each
            id; None if there are none.
        """
        ids = {"user": user_idx, "item": item_idx}
        return tuple(
            {side: torch.stack([field(ids[side]) for field in fields], dim=-2) if fields else None
             for side, fields in cast("dict[str, nn.ModuleList]", tables).items()}
            for tables in (self.tokens, self.numbers)
        )  # fmt: skip


class ContextSeqEmbLayer(_FeatureEmbeddings):
    """Embeds all user and item features, including the ids."""

    def __init__(self, dataset: Dataset, embedding_size: int, pooling_mode: str, device: torch.device | str) -> None:
        fields = {"user": list(dataset.get_user_feature()), "item": list(dataset.get_item_feature())}
        super().__init__(dataset, embedding_size, fields, pooling_mode, device)


class FeatureSeqEmbLayer(_FeatureEmbeddings):
    """Embeds only the item features listed in ``selected_features``."""

    def __init__(
        self,
        dataset: Dataset,
        embedding_size: int,
        selected_features: Sequence[str],
        pooling_mode: str,
        device: torch.device | str,
    ) -> None:
        super().__init__(dataset, embedding_size, {"item": selected_features}, pooling_mode, device)
