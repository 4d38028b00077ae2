"""Sets2Sets: an encoder-decoder over baskets, with a gate for repeated items."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.data.split import SPLITS, TRAIN
from recbole.model.abstract_recommender import NextBasketRecommender
from recbole.model.basket_histories import Incidence, pairs_within, places_of_pairs
from recbole.model.user_views import UserView
from recbole.utils import UserError, keyed

LARGE = 6_000_000
"""With Adam, the gate gets sparse gradients if more of its entries are stored than this; else dense ones are faster."""


class Sets2Sets(NextBasketRecommender):
    """A GRU encoder of baskets with attention, and a gate that mixes in the user's own item frequencies.

    H. Hu, X. He, "Sets2Sets: Learning from Sequential Sets with Neural Networks", KDD 2019 (equation numbers not
    checked). Let x_t be the sum of the item embeddings in basket t of T, and E' a second embedding table. Biases of
    linear layers are left out::

        o_1 .. o_T, h = GRU(x_1 .. x_T)                         d = sum of E' over basket T
        a = softmax over t <= T of A [d; h]                     c = sum_t a_t o_t
        g = relu(C [d; c])        s = GRU'(g, h)                l = O s
        f_i = share of the T baskets that hold i                v = sigmoid(G f)
        logit_i = l_i (1 - [f_i > 0] v_i) + f_i v_i             p = softmax(logit)
        loss = sum_i w_i (p_i - y_i)^2 + lambda mean over bought i and other j of exp(p_j - p_i)

    ``y_i`` is 1 for the items of the next basket (the bought ones) and 0 for others; ``lambda`` is ``set_loss_weight``,
    and the term after it is called the pairwise term. ``w_i`` is the largest item frequency divided by that of ``i`` in
    the retained training baskets, and 0 for items in none; with ``inverse_frequency_weights: False`` all are 1. These
    weights reduce accuracy, because the optimal ``p`` then reflects how much likelier than usual an item is, not how
    likely it is. Scores are the logits, which rank items as ``p`` does.

    All computations are batched and exact. ``v_i`` matters only if ``f_i > 0``, so only gate entries for pairs of items
    in one user's history are read. The pairwise term is computed as a product of two means. Of the n_items x n_items
    gate G, only entries that some training history (before forgetting) reads are stored: ``gate_weight`` [stored] holds
    their values, and ``gate_places`` their flat indices, ``j n_items + i`` for G_ij. All other entries keep their
    initial value, a hash of ``gate_key`` and the index, which is computed when needed. With ``learner: sparse_adam``
    only the entries that a batch reads are updated (lazy Adam).

    Unlike in the authors' code, padding baskets get no attention (there they take part with zero vectors) and the
    padding item has no probability. As there, the pairwise term has no gradient unless ``set_loss_gradient``.
    """

    reach = math.inf  # the item weights depend on all interactions
    rebuild_changes_scores = False
    entry_tables = {"gate_weight": "gate_places"}  # noqa: RUF012
    item_weight: torch.Tensor
    gate_places: torch.Tensor
    gate_key: torch.Tensor

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        size, hidden = config["embedding_size"], config["hidden_size"]
        self.n_slots = config["MAX_NBR_HISTORY_BASKETS"]
        if not self.n_slots or self.n_slots < 0:
            raise UserError(
                "MAX_NBR_HISTORY_BASKETS: Sets2Sets needs a largest number of baskets in a history; set it to 1 or more"
            )
        self.set_loss_weight, self.set_loss_gradient = config["set_loss_weight"], config["set_loss_gradient"]
        self.weighted = config["inverse_frequency_weights"]
        self.encoder_embedding = nn.Embedding(self.n_items, size)
        self.decoder_embedding = nn.Embedding(self.n_items, size)
        self.encoder = nn.GRU(size, hidden, batch_first=True)
        self.decoder = nn.GRU(hidden, hidden, batch_first=True)
        self.attention = nn.Linear(size + hidden, self.n_slots)
        self.combine = nn.Linear(size + hidden, hidden)
        self.output = nn.Linear(hidden, self.n_items)
        log = dataset.log
        places, self._places_of_all = (
            partial(places_of_pairs, log.user[rows], log.item[rows], self.n_items)
            for rows in (log.split < TRAIN, log.split < SPLITS["test"])
        )
        self.register_buffer("gate_key", torch.tensor(keyed.key(config["seed"], "gate_weight")))
        self.register_buffer("gate_places", places())
        self.gate_weight = nn.Parameter(self._drawn(self.gate_places, torch.get_default_dtype()))
        learner = str(config["learner"]).lower()
        large = len(self.gate_places) > LARGE
        self.sparse_gate = learner == "sparse_adam" or (learner == "adam" and large)
        self.gate_bias = nn.Parameter(torch.zeros(self.n_items))
        self.register_buffer("item_weight", torch.zeros(self.n_items), persistent=False)
        self._initialise()
        self.rebuild(dataset)

    def _initialise(self) -> None:
        """Initialise all parameters except the stored values of the gate."""
        for name, parameter in self.named_parameters():
            if name == "gate_weight":
                continue  # already initialised
            if "embedding" in name:
                nn.init.normal_(parameter, std=0.02)
            elif parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)

    def lookups(self) -> dict[str, tuple[str, ...]]:
        """Return the embeddings, the gate and the output layer, whose rows represent items.

        See :meth:`AbstractRecommender.lookups`.
        """
        inputs = ("encoder_embedding.weight", "decoder_embedding.weight", "gate_weight")
        return dict.fromkeys(inputs, (self.HISTORY_ITEMS,)) | {"output.weight": self.item_fields}

    def reads(self) -> dict[str, tuple[str, ...]]:
        """Return the embeddings and the gate, whose rows are read for items in histories.

        The output layer is not listed, because all of its rows are always read. See :meth:`AbstractRecommender.reads`.
        """
        tables = ("encoder_embedding.weight", "decoder_embedding.weight", "gate_bias", "gate_weight")
        return dict.fromkeys(tables, (self.HISTORY_ITEMS,))

    def rows_read(self, name: str, interaction: Interaction) -> torch.Tensor:
        """Return the row ids (int64) that a batch reads in a table, see :meth:`AbstractRecommender.rows_read`.

        In the decoder's embedding table these are only the items of each history's last basket.
        """
        if name != "decoder_embedding.weight":
            return super().rows_read(name, interaction)
        history = Incidence.of(interaction[self.HISTORY_ITEMS])
        return history.item[history.slot == interaction[self.HISTORY_LENGTH][history.user] - 1]

    def rebuild(self, dataset: Dataset) -> None:
        """Recompute the item weights ``w`` of the loss from the retained training baskets."""
        if not self.weighted:
            self.item_weight.fill_(1.0)
            return
        counts = np.bincount(dataset.log.item[dataset.train_rows], minlength=self.n_items)
        weights = np.divide(counts.max(initial=0), counts, out=np.zeros(self.n_items), where=counts > 0)
        self.item_weight.copy_(torch.from_numpy(weights))

    def forward(self, interaction: Interaction) -> torch.Tensor:
        """Return the logits of all items, float [batch, n_items]; minus infinity for the padding item."""
        return functional.pad(self._logits(interaction), (1, 0), value=-math.inf)

    def _logits(self, interaction: Interaction) -> torch.Tensor:
        """Return the logits of all items but the padding, float [batch, n_items - 1]."""
        history, lengths = Incidence.of(interaction[self.HISTORY_ITEMS]), interaction[self.HISTORY_LENGTH]
        logits = functional.linear(self._state(history, lengths), self.output.weight[1:], self.output.bias[1:])
        return self._repeats(logits, history, lengths)

    def user_views(self, dataset: Dataset | None = None) -> dict[str, UserView]:
        """Return the :class:`UserView` ``state``: the decoder state s, computed from the user's history.

        Attribute unlearning changes the parameters of the decoder to protect it.
        """

        def state(interaction: Interaction) -> torch.Tensor:
            return self._state(Incidence.of(interaction[self.HISTORY_ITEMS]), interaction[self.HISTORY_LENGTH])

        decoder = tuple(f"decoder.{name}" for name, _ in self.decoder.named_parameters())
        return self.views_of_histories(dataset, "state", state, decoder)

    def _state(self, history: Incidence, lengths: torch.Tensor) -> torch.Tensor:
        """Return the decoder state s (see the class) of each history, float [batch, hidden].

        Args:
            history: the entries (items in baskets) of the batch's histories.
            lengths: int64 [batch], number of baskets in each history.
        """
        row = torch.arange(len(lengths), device=lengths.device)
        outputs, _ = self.encoder(history.sums(self.encoder_embedding.weight))
        h = outputs[row, lengths - 1]  # padding after the last basket does not affect it
        last = history.slot == lengths[history.user] - 1
        d = history.sums(self.decoder_embedding.weight, last).sum(dim=1)
        attention = self.attention(torch.cat([d, h], dim=1))[:, : history.n_slots]
        empty = torch.arange(history.n_slots, device=lengths.device) >= lengths.unsqueeze(1)
        attention = attention.masked_fill(empty, -torch.inf).softmax(dim=1)
        c = (attention.unsqueeze(2) * outputs).sum(dim=1)
        g = torch.relu(self.combine(torch.cat([d, c], dim=1)))
        s, _ = self.decoder(g.unsqueeze(1), h.unsqueeze(0).contiguous())
        return s.squeeze(1)

    def _repeats(self, logits: torch.Tensor, history: Incidence, lengths: torch.Tensor) -> torch.Tensor:
        """Mix the users' own item frequencies f into the logits, in place, and return the logits.

        Only logits of items in a user's history change.

        Args:
            logits: float [batch, n_items - 1], the ``l`` of the class docstring, without the padding item.
            history: the entries (items in baskets) of the batch's histories.
            lengths: int64 [batch], number of baskets in each history.
        """
        user, item, _, count = history.nodes(self.n_items)
        f = count.to(logits.dtype) / lengths[user]
        of, to = pairs_within(user)
        weight = self._gate(item.index_select(0, of) * self.n_items + item.index_select(0, to))
        v = torch.sigmoid(self.gate_bias.index_select(0, item).index_add(0, to, weight * f.index_select(0, of)))
        at = user, item - 1
        return logits.index_put_(at, v * (f - logits[at]), accumulate=True)

    # --- the gate --------------------------------------------------------------------------------------------------

    def _gate(self, places: torch.Tensor) -> torch.Tensor:
        """Return entries of the gate G, float [n], at flat indices (int64 [n]).

        The index of G_ij is ``j n_items + i``. An entry that is not stored has its initial value.
        """
        if not len(self.gate_places):
            return self._drawn(places, self.gate_weight.dtype)
        number, stored = self._number(places)
        if self.sparse_gate and self.training:
            values = _SparselyRead.apply(self.gate_weight, number)
        else:
            values = self.gate_weight.index_select(0, number)
        if stored.all():
            return values
        return torch.where(stored, values, self._drawn(places, values.dtype))

    def _number(self, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Look up flat indices of the gate among the stored entries.

        Args:
            places: int64 [n], flat indices; at least one entry of the gate must be stored.

        Returns:
            The position of each index in ``gate_places``, int64 [n], and whether it is stored, bool [n]. Positions of
            indices that are not stored are meaningless.
        """
        number = torch.searchsorted(self.gate_places, places).clamp_max_(len(self.gate_places) - 1)
        return number, self.gate_places.index_select(0, number) == places

    def _drawn(self, places: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return the gate's initial values at flat indices (int64 [n]), float [n], drawn by a hash.

        The distribution is the uniform one of Glorot and Bengio (AISTATS 2010).
        """
        bound = math.sqrt(6 / (2 * self.n_items))
        drawn = keyed.uniform(int(self.gate_key), places // self.n_items, places % self.n_items)
        return (bound * (2 * drawn - 1)).to(dtype)

    def entries(self, name: str, interaction: Interaction) -> torch.Tensor:
        """Return the positions (int64) in ``gate_weight`` that a batch reads: of pairs of items in one history."""
        user, item, *_ = Incidence.of(interaction[self.HISTORY_ITEMS]).nodes(self.n_items)
        of, to = pairs_within(user)
        number, stored = self._number(item.index_select(0, of) * self.n_items + item.index_select(0, to))
        return number[stored]

    def shape_of(self, name: str) -> tuple[int, int]:
        """Return the shape of the whole gate, ``(n_items, n_items)``; G_ij is in row j, column i."""
        return self.n_items, self.n_items

    def make_room(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Resize the gate to the entries that a checkpoint stores, and return the converted ``state_dict``.

        Files of this program's first version and of the authors' code store the whole gate, [n_items, n_items]. Of such
        a gate, only the entries that some history in the data reads are kept.

        Raises:
            UserError: ``gate_places`` is not ascending, outside the gate, or not as long as ``gate_weight``.
        """
        values = state.get("gate_weight")
        if not isinstance(values, torch.Tensor):
            return state
        if values.shape == (self.n_items, self.n_items):
            places = self._places_of_all()
            values = values.to_dense().reshape(-1)[places]
            state = {**state, "gate_weight": values, "gate_places": places, "gate_key": self.gate_key}
        elif values.dim() == 1:
            places = self._checked(state.get("gate_places"), len(values))
        else:
            return state
        self.gate_places = places.to(self.gate_places.device)
        self.gate_weight = nn.Parameter(self.gate_weight.new_zeros(len(values)), self.gate_weight.requires_grad)
        return state

    def _checked(self, places: Any, n: int) -> torch.Tensor:
        """Check the ``gate_places`` of a checkpoint whose ``gate_weight`` has ``n`` values, and return them.

        Raises:
            UserError: they are not ``n`` strictly ascending flat indices (int64) into the gate.
        """
        fits = isinstance(places, torch.Tensor) and places.layout == torch.strided
        fits = fits and places.dtype == torch.int64 and places.shape == (n,)
        if fits and (not n or (places[0] >= 0 and places[-1] < self.n_items**2 and (places.diff() > 0).all())):
            return places
        raise UserError(
            f"'gate_places' should be {n} ascending indices (as many as 'gate_weight' has values) into a gate of "
            f"{self.n_items} x {self.n_items} entries"
        )

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the weighted squared errors plus ``set_loss_weight`` times the pairwise term, averaged over users."""
        return self.loss_of(self.outputs(interaction), interaction)

    def outputs(self, interaction: Interaction) -> torch.Tensor:
        """Return the items' probabilities, float [batch, n_items - 1]; the loss is convex in them, not in logits."""
        return self._logits(interaction).softmax(dim=1)

    def loss_of(self, outputs: torch.Tensor, interaction: Interaction) -> torch.Tensor:
        """Return the mean loss over users, a scalar, given the probabilities of :meth:`outputs`.

        If the pairwise term has no gradient, it is included only in training mode. In evaluation mode, in which
        second-order methods take derivatives, the loss is then the function whose gradient training uses.
        """
        bought = interaction[self.TARGET_ITEMS] > 0
        column, weight = (interaction[self.TARGET_ITEMS] - 1).clamp_min(0), self.item_weight[1:]
        more = weight[column] * (1 - 2 * outputs.gather(1, column))  # (p - 1)^2 - p^2, weighted
        squares = outputs.square() @ weight + (bought * more).sum(dim=1)
        if not (self.training or self.set_loss_gradient):
            return squares.mean()
        return (squares + self.set_loss_weight * self._pairwise(outputs, column, bought)).mean()

    def _pairwise(self, p: torch.Tensor, column: torch.Tensor, bought: torch.Tensor) -> torch.Tensor:
        """Return each user's mean of exp(p_j - p_i) over (bought i, other j): mean exp(-p_i) times mean exp(p_j).

        Args:
            p: float [batch, n_items - 1], the items' probabilities.
            column: int64 [batch, targets], columns of the target items in ``p``.
            bought: bool [batch, targets], False for padding.
        """
        p = p if self.set_loss_gradient else p.detach()
        own, n = p.gather(1, column), bought.sum(dim=1)
        others = p.exp().sum(dim=1) - (bought * own.exp()).sum(dim=1)
        return (bought * (-own).exp()).sum(dim=1) / n * others / (p.shape[1] - n)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the logits of all items, float [batch, n_items]."""
        return self.forward(interaction)


class _SparselyRead(torch.autograd.Function):
    """``weight[number]`` for a vector and int64 positions, with a sparse gradient; differentiable once."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(number)
        ctx.shape = weight.shape
        return weight.index_select(0, number)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (number,) = ctx.saved_tensors
        return torch.sparse_coo_tensor(number.unsqueeze(0), gradient, ctx.shape, check_invariants=False), None
