"""NeuMF: matrix factorisation combined with a multi-layer perceptron."""

from functools import partial
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.layers import MLPLayers
from recbole.model.user_views import UserView
from recbole.utils import InputType, UserError


class NeuMF(GeneralRecommender):
    """Matrix factorisation and a multi-layer perceptron with separate embeddings, combined by a linear layer.

    X. He et al., "Neural Collaborative Filtering", WWW 2017 (equation numbers not checked). Trained on positives and
    sampled negatives with the mean binary cross-entropy. ``mf_train`` and ``mlp_train`` switch on the two parts.
    RecBole's pre-trained parts (``use_pretrain``) are not supported, because their files are pickled models.
    """

    input_type = InputType.POINTWISE
    rebuild_changes_scores = False
    selective = ("user_mf_embedding.weight", "user_mlp_embedding.weight")

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.mf_train, self.mlp_train = config["mf_train"], config["mlp_train"]
        if config["use_pretrain"]:
            raise UserError("use_pretrain: NeuMF starts from random parameters only; set it to False")
        if not (self.mf_train or self.mlp_train):
            raise UserError("mf_train and mlp_train are both False; NeuMF needs at least one of them")
        self.LABEL = config["LABEL_FIELD"]
        mf_size, mlp_size, hidden = config["mf_embedding_size"], config["mlp_embedding_size"], config["mlp_hidden_size"]
        self.user_mf_embedding = nn.Embedding(self.n_users, mf_size)
        self.item_mf_embedding = nn.Embedding(self.n_items, mf_size)
        self.user_mlp_embedding = nn.Embedding(self.n_users, mlp_size)
        self.item_mlp_embedding = nn.Embedding(self.n_items, mlp_size)
        self.mlp_layers = MLPLayers([2 * mlp_size, *hidden], config["dropout_prob"])
        self.predict_layer = nn.Linear(mf_size * bool(self.mf_train) + hidden[-1] * bool(self.mlp_train), 1)
        self.loss = nn.BCEWithLogitsLoss()
        self.row_tables = {
            f"{side}_{half}_embedding.weight": (field,)
            for side, field in (("user", self.USER_ID), ("item", self.ITEM_ID))
            for half in ("mf", "mlp")
        }
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, 0, 0.01)

    def rebuild(self, dataset: Dataset) -> None:
        """Do nothing: the model derives nothing from the data."""

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """Return the logits of (user, item) pairs; arguments and result have the same shape."""
        halves = []
        if self.mf_train:
            halves.append(self.user_mf_embedding(user) * self.item_mf_embedding(item))
        if self.mlp_train:
            pair = torch.cat([self.user_mlp_embedding(user), self.item_mlp_embedding(item)], dim=-1)
            halves.append(self.mlp_layers(pair))
        return self.predict_layer(torch.cat(halves, dim=-1)).squeeze(-1)

    def user_views(self, dataset: Dataset | None = None) -> dict[str, UserView]:
        """Return a :class:`UserView` of each user table: ``gmf`` if ``mf_train`` is on, ``mlp`` if ``mlp_train`` is."""
        halves = {"gmf": ("mf", self.mf_train), "mlp": ("mlp", self.mlp_train)}
        names = {view: f"user_{half}_embedding.weight" for view, (half, there) in halves.items() if there}
        return {view: UserView(partial(self.get_parameter, name), (name,)) for view, name in names.items()}

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the mean binary cross-entropy of the batch's logits against its labels, a scalar."""
        logits = self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])
        return self.loss(logits, interaction[self.LABEL].to(logits.dtype))

    def pair_scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the logits of the (user, item) pairs, float [batch]."""
        return self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])

    def list_scores(self, user: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Return the logits, float [n, k], of n users (int64 [n]) with k items each (int64 [n, k]).

        In evaluation mode, the part of the first MLP layer that depends on the user is computed once for all k items.
        """
        if self.training or not self.mlp_train:
            return super().list_scores(user, items)
        halves, layers = [], self.mlp_layers.mlp_layers
        if self.mf_train:
            halves.append(self.user_mf_embedding(user).unsqueeze(1) * self.item_mf_embedding(items))
        first = cast(nn.Linear, layers[1])
        of_users, of_items = first.weight.chunk(2, dim=1)
        own = functional.linear(self.user_mlp_embedding(user), of_users, first.bias).unsqueeze(1)
        halves.append(layers[2:](own + functional.linear(self.item_mlp_embedding.weight, of_items)[items]))
        return self.predict_layer(torch.cat(halves, dim=-1)).squeeze(-1)

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the predicted probabilities of interaction of the (user, item) pairs, float [batch]."""
        return torch.sigmoid(self.pair_scores(interaction))

    def _every_pair(self, interaction: Interaction) -> torch.Tensor:
        user = interaction[self.USER_ID]
        items = torch.arange(self.n_items, device=user.device).expand(len(user), -1)
        return torch.sigmoid(self.list_scores(user, items))
