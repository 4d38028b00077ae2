"""SimRec: a perceptron that is distilled from a LightGCN."""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.contrast import info_nce, log_partition
from recbole.model.graph import propagate
from recbole.model.graph_recommender import GraphRecommender
from recbole.model.init import xavier_uniform_initialization
from recbole.model.present import present_users, with_batch
from recbole.model.user_views import UserView
from recbole.utils import InputType, torch_seed

Lesson = tuple[Sequence[torch.Tensor], list[torch.Tensor], torch.Tensor]
"""What the student learns from: see :meth:`SimRec._lesson`."""


class Teacher(GraphRecommender):
    """LightGCN as in the program of SimRec's authors: layers are summed, and each node is also its own neighbour.

    A layer maps ``E`` to ``D^-1/2 (A + I) D^-1/2 E``, where the degree ``D`` counts the node itself. The loss is the
    mean BPR loss plus ``teacher_reg_weight`` times the squared norms of the two tables.
    """

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.n_layers, self.reg_weight = config["n_layers"], config["teacher_reg_weight"]
        self.apply(xavier_uniform_initialization)

    def rebuild(self, dataset: Dataset) -> None:
        """Build the graph of the retained training pairs."""
        super().rebuild(dataset)
        dtype = self.user_embedding.weight.dtype
        scale = (self.graph.degrees() + 1).rsqrt()
        self.norm_adj_matrix = self.graph.csr((scale[self.graph.heads] * scale[self.graph.tails]).to(dtype))
        self.of_itself = scale.square().to(dtype).unsqueeze(1)
        self.present = present_users(dataset, self.device)

    def layers(self) -> list[torch.Tensor]:
        """Return the embedding parameters and all layers, each [n_users + n_items, d]."""
        layers = [self.get_ego_embeddings()]
        for _ in range(self.n_layers):
            layers.append(propagate(self.norm_adj_matrix, layers[-1]) + self.of_itself * layers[-1])
        return layers

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the embeddings ``(users [n_users, d], items [n_items, d])``."""
        return self.split(cast("torch.Tensor", sum(self.layers())))

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the mean BPR loss plus ``teacher_reg_weight`` times the squared norms."""
        u, p, n = self.gathered(*self.forward(), interaction)
        users = self.user_embedding.weight.index_select(0, self.present)
        norms = users.square().sum() + self.item_embedding.weight.square().sum()
        return F.softplus((u * n).sum(dim=1) - (u * p).sum(dim=1)).mean() + self.reg_weight * norms


class SimRec(GeneralRecommender):
    """A perceptron on user and item tables (the student) that learns from a trained LightGCN (the teacher).

    L. Xia et al., "Graph-less Collaborative Filtering", WWW 2023; the paper itself was not read. The losses, the
    teacher and the defaults were checked against the authors' published program (github.com/HKUDS/SimRec). With
    ``x(e) = e + LeakyReLU(W e)`` and ``y_ui = x(e_u) . x(e_i)`` the loss is the sum of:

    * the main task, ``-mean y_ui`` over the batch;
    * ``soft_weight`` times the prediction-level distillation: for random triples (u, i, j), the cross-entropy
      between the teacher's and the student's ``sigmoid((y_ui - y_uj) / soft_tau)``;
    * ``distill_weight`` times the embedding-level distillation: the contrastive loss, by cosine, between the sum of the
      teacher's layers from the second on and the student's tables, with all users (items) as candidates;
    * ``contrast_weight`` times the adaptive regulariser: ``log sum exp(y / contrast_tau)`` of users against all items,
      users against all users and items against all items. A node has the weight ``1 + epsilon`` if the two
      distillations' gradients agree more with each other than with the main task's, else ``1 - epsilon``;
    * ``reg_weight`` times the squared norms of the two tables.

    Unlike the authors' program, this class adds no small constants inside logarithms, and it trains the teacher itself
    for ``teacher_epochs`` (the program loads a teacher trained for 100 epochs). In ERASE, the benchmark that this
    package re-implements, SimRec's teacher is not trained, and items are ranked by the raw tables.

    The :class:`Teacher` is trained in the first ``teacher_epochs`` epochs, in addition to ``epochs``, by the same
    optimizer on the same training pairs; its parameters then stay fixed. If the time budget ends before, the student is
    untrained. The teacher is not used for recommendations, but it is stored in the checkpoint. Unlearning removes the
    edges of forgotten interactions from the teacher's graph but does not change its parameters. So only a retrained
    SimRec has a teacher that was trained without them. All losses except the main one depend on the whole batch. In
    evaluation mode the random triples are fixed.
    """

    input_type = InputType.PAIRWISE  # the teacher needs negatives
    loss_of_examples = False
    reach = math.inf  # the loss reads the teacher's embeddings of random users and items
    rebuild_changes_scores = False
    selective = ("user_embedding.weight",)

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.config, self.present = config, present_users(dataset, self.device)
        self.user_embedding = nn.Embedding(self.n_users, config["embedding_size"])
        self.item_embedding = nn.Embedding(self.n_items, config["embedding_size"])
        self.layer = nn.Linear(config["embedding_size"], config["embedding_size"], bias=False)
        self.apply(xavier_uniform_initialization)
        self.teacher = Teacher(config, dataset)
        self.warm_up_epochs = config["teacher_epochs"]
        self._teach(False)

    def rebuild(self, dataset: Dataset) -> None:
        """Rebuild the teacher's graph from the retained training pairs."""
        self.teacher.rebuild(dataset)
        self.present = present_users(dataset, self.device)

    def rebuild_without(self, dataset: Dataset, rows: np.ndarray) -> None:
        """Remove the edges of newly forgotten interactions from the teacher's graph.

        See :meth:`AbstractRecommender.rebuild_without`.
        """
        self.teacher.rebuild_without(dataset, rows)
        self.present = self.teacher.present

    def reads(self) -> dict[str, tuple[str, ...]]:
        """Return only the user table, because the contrastive losses read every item row in every batch.

        See :meth:`AbstractRecommender.reads`.
        """
        return {"user_embedding.weight": (self.USER_ID,)}

    def candidates(self) -> dict[str, torch.Tensor]:
        """Return ``{"user_embedding.weight": ids}``, int64, for the users that are contrastive negatives."""
        return {"user_embedding.weight": self.present}

    def begin_epoch(self, epoch: int, dataset: Dataset) -> None:
        """Choose what the epoch trains: the teacher in the first ``teacher_epochs`` epochs, afterwards the student."""
        self._teach(epoch < self.warm_up_epochs)

    def _teach(self, teaching: bool) -> None:
        """Let gradients flow only to the teacher if ``teaching`` is True, otherwise only to the student."""
        self.teaching = teaching
        for parameter in self.parameters():
            parameter.requires_grad_(not teaching)
        self.teacher.requires_grad_(teaching)

    def features(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return ``x(e) = e + LeakyReLU(W e)``, float [..., d], for rows ``e`` of either embedding table."""
        return embeddings + F.leaky_relu(self.layer(embeddings), 0.5)

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the features ``x(e)`` of all users and items, ``(users [n_users, d], items [n_items, d])``."""
        return self.features(self.user_embedding.weight), self.features(self.item_embedding.weight)

    def user_views(self, dataset: Dataset | None = None) -> dict[str, UserView]:
        """Return a :class:`UserView` of the student's user table, ``table``, and one of its ``x(e)``, ``features``."""
        features = UserView(lambda: self.features(self.user_embedding.weight), ("user_embedding.weight",), table=False)
        return super().user_views(dataset) | {"features": features}

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the sum of the terms in the class docstring, or the teacher's loss in its epochs, a scalar."""
        if self.teaching:
            return self.teacher.calculate_loss(interaction)
        user, item = interaction[self.USER_ID], interaction[self.ITEM_ID]
        tables = self.user_embedding.weight, self.item_embedding.weight
        distinct = torch.unique(user), torch.unique(item)
        with torch.no_grad():
            lesson = self._lesson()
        weights = self._weights(tables, distinct, lesson, user, item)
        norms = tables[0].index_select(0, self.present).square().sum() + tables[1].square().sum()
        total = self._main(tables, user, item) + self._soft(tables, lesson) + self._distil(tables, distinct, lesson)
        return total + self._spread(tables, distinct, weights) + self.config["reg_weight"] * norms

    def _lesson(self) -> Lesson:
        """Return what the student learns from the teacher.

        Returns:
            ``(layers, triples, preferences)``. ``layers``: the sum of the teacher's layers from the second propagation
            on, as ``(users [n_users, d], items [n_items, d])``. ``triples``: random ids ``[u, i, j]`` of a user and two
            items, each int64 [soft_samples]. ``preferences``, float [soft_samples]: the teacher's ``y_ui - y_uj``.
        """
        teacher, layers = self.teacher, self.teacher.layers()
        users, items = teacher.split(cast("torch.Tensor", sum(layers)))
        triples = self._triples(users.device)
        later = teacher.split(cast("torch.Tensor", sum(layers[2:])))
        return later, triples, _preference(users, items, triples)

    def _triples(self, device: torch.device) -> list[torch.Tensor]:
        """Return random ids of a user and two items, each int64 [soft_samples]; they are fixed in evaluation mode."""
        generator = None
        if not self.training:
            generator = torch.Generator(device).manual_seed(torch_seed(self.config["seed"], "triples"))
        shape = (self.config["soft_samples"],)
        sizes = (len(self.present), self.n_items, self.n_items)
        user, one, other = (torch.randint(size, shape, generator=generator, device=device) for size in sizes)
        return [self.present[user], one, other]

    def _main(self, tables: Sequence[torch.Tensor], user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """Return the loss of the main task, ``-mean y_ui`` over the batch, a scalar.

        Args:
            tables: the embedding tables of users and items.
            user, item: int64 [batch], ids of the batch's pairs.
        """
        users, items = (self.features(t.index_select(0, i)) for t, i in zip(tables, (user, item), strict=True))
        return -(users * items).sum(dim=1).mean()

    def _soft(self, tables: Sequence[torch.Tensor], lesson: Lesson) -> torch.Tensor:
        """Return the weighted prediction-level distillation loss, a scalar.

        Args:
            tables: the student's embedding tables of users and items.
            lesson: the result of :meth:`_lesson`.
        """
        _, triples, said = lesson
        tau = self.config["soft_tau"]
        mine = _preference(self.features(tables[0]), self.features(tables[1]), triples)
        return self.config["soft_weight"] * F.binary_cross_entropy_with_logits(mine / tau, torch.sigmoid(said / tau))

    def _distil(self, tables: Sequence[torch.Tensor], distinct: Sequence[torch.Tensor], lesson: Lesson) -> torch.Tensor:
        """Return the weighted embedding-level distillation loss, a scalar.

        Args:
            tables: the student's embedding tables of users and items.
            distinct: the distinct user ids and the distinct item ids of the batch, int64.
            lesson: the result of :meth:`_lesson`.
        """
        tau, (users, items) = self.config["distill_tau"], distinct
        present = with_batch(self.present, users, self.n_users)
        own = torch.searchsorted(present, users.contiguous())
        losses = [
            info_nce(F.normalize(taught[nodes], dim=1), F.normalize(table, dim=1), place, tau).mean()
            for table, nodes, place, taught in zip(
                (tables[0].index_select(0, present), tables[1]), distinct, (own, items), lesson[0], strict=True
            )
        ]
        return self.config["distill_weight"] * sum(losses)

    def _weights(
        self,
        tables: Sequence[torch.Tensor],
        distinct: Sequence[torch.Tensor],
        lesson: Lesson,
        user: torch.Tensor,
        item: torch.Tensor,
    ) -> list[torch.Tensor]:
        """Return the weights of the batch's users and items in the regulariser: two float vectors, detached.

        In evaluation mode, where second-order methods take derivatives, all weights are 1, because the true weights are
        discontinuous in the parameters.

        Args:
            tables, distinct, lesson: as in :meth:`_distil`; the weights are those of the ``distinct`` users and items.
            user, item: int64 [batch], ids of the batch's pairs.
        """
        if not self.training:
            return [torch.ones(len(nodes), device=nodes.device, dtype=tables[0].dtype) for nodes in distinct]
        with torch.enable_grad():
            leaves = [table.detach().requires_grad_() for table in tables]
            losses = (
                self._distil(leaves, distinct, lesson),
                self._soft(leaves, lesson),
                self._main(leaves, user, item),
            )
            gradients = [torch.autograd.grad(loss, leaves) for loss in losses]
        weights = []
        for nodes, *whole in zip(distinct, *gradients, strict=True):
            one, two, main = (gradient[nodes] for gradient in whole)
            conflict = F.cosine_similarity(one + two, main) <= F.cosine_similarity(one, two)
            weights.append(1 + self.config["epsilon"] * torch.where(conflict, 1.0, -1.0).to(one.dtype))
        return weights

    def _spread(
        self, tables: Sequence[torch.Tensor], distinct: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Return the weighted adaptive regulariser, a scalar.

        Args:
            tables, distinct: as in :meth:`_distil`.
            weights: the result of :meth:`_weights`.
        """
        users, items = (self.features(table) for table in tables)
        tau = self.config["contrast_tau"]
        everybody = users.index_select(0, self.present)
        of_users = log_partition(users[distinct[0]], items, tau) + log_partition(users[distinct[0]], everybody, tau)
        of_items = log_partition(items[distinct[1]], items, tau)
        loss = (weights[0] * of_users).mean() + (weights[1] * of_items).mean()
        return self.config["contrast_weight"] * loss

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of the (user, item) pairs, float [batch]."""
        user = self.features(self.user_embedding(interaction[self.USER_ID]))
        return (user * self.features(self.item_embedding(interaction[self.ITEM_ID]))).sum(dim=1)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        return self.features(self.user_embedding(interaction[self.USER_ID])) @ self.forward()[1].T


def _preference(users: torch.Tensor, items: torch.Tensor, triples: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return ``y_ui - y_uj``, float [n], for triples (u, i, j) of ids, each int64 [n].

    Args:
        users, items: float [n_users, d] and [n_items, d], such that ``y_ui`` is the inner product of rows u and i.
        triples: the ids ``[u, i, j]``.
    """
    user, one, other = triples
    difference = items.index_select(0, one) - items.index_select(0, other)
    return (users.index_select(0, user) * difference).sum(dim=1)
