"""Embeddings of the columns of users and items, under RecBole's names."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import nn

from recbole.data import Dataset
from recbole.utils import FeatureType, UserError

_NUMBERS = (FeatureType.FLOAT, FeatureType.FLOAT_SEQ)
_LISTS = (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ)


class FieldEmbedding(nn.Module):
    """A column as vectors: of a token its own, of a number as many times the column's, of a list one pooled vector.

    Args:
        values: the column, [n_ids] or, of lists, [n_ids, longest], 0 where there is nothing.
        kind: :class:`~recbole.utils.FeatureType` of the column.
        n_tokens: how many ids the column's tokens have, the padding included; 1 for numbers.
        size: length of the vectors.
        pooling: ``"mean"``, ``"sum"`` or ``"max"`` over the elements of a list; nothing gives zeros.
    """

    values: torch.Tensor

    def __init__(self, values: torch.Tensor, kind: FeatureType, n_tokens: int, size: int, pooling: str) -> None:
        super().__init__()
        self.register_buffer("values", values, persistent=False)
        self.kind, self.pooling = kind, pooling
        self.table = nn.Embedding(n_tokens, size)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the vectors of users or items, int64 [...] to [..., size]."""
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
    """Looks up the columns of some kinds of things (``"user"``, ``"item"``)."""

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
        """Return ``(of tokens, of numbers)``, each a dict from the kind of thing to [..., fields, size] or None.

        Args:
            user_idx: int64 [batch]; not looked at where there are no users' columns.
            item_idx: int64 [batch, length].
        """
        ids = {"user": user_idx, "item": item_idx}
        return tuple(
            {side: torch.stack([field(ids[side]) for field in fields], dim=-2) if fields else None
             for side, fields in cast("dict[str, nn.ModuleList]", tables).items()}
            for tables in (self.tokens, self.numbers)
        )  # fmt: skip


class ContextSeqEmbLayer(_FeatureEmbeddings):
    """Embeds every column of users and items, their ids included."""

    def __init__(self, dataset: Dataset, embedding_size: int, pooling_mode: str, device: torch.device | str) -> None:
        fields = {"user": list(dataset.get_user_feature()), "item": list(dataset.get_item_feature())}
        super().__init__(dataset, embedding_size, fields, pooling_mode, device)


class FeatureSeqEmbLayer(_FeatureEmbeddings):
    """Embeds the ``selected_features`` of items."""

    def __init__(
        self,
        dataset: Dataset,
        embedding_size: int,
        selected_features: Sequence[str],
        pooling_mode: str,
        device: torch.device | str,
    ) -> None:
        super().__init__(dataset, embedding_size, {"item": selected_features}, pooling_mode, device)
