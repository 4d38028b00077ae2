"""The base class of all models. It uses RecBole's names, and its defaults let an unmodified RecBole model run."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.hidden import NAME as HIDDEN
from recbole.model.hidden import checked_pairs
from recbole.model.user_views import UserView
from recbole.utils import InputType, ModelType, UserError

if TYPE_CHECKING:
    import scipy.sparse

PAIRS_AT_ONCE = 2**18
"""About how many (user, item) pairs the default :meth:`AbstractRecommender.full_sort_predict` scores at a time."""


class AbstractRecommender(nn.Module):
    """Base class of recommenders. A subclass defines the training loss and the scores by which items are ranked.

    The last three attributes describe a trained model. The others are declared by the class or its constructor.

    Attributes:
        type: :class:`~recbole.utils.ModelType`; decides whether the task is collaborative filtering, session-based or
            next-basket recommendation.
        input_type: :class:`~recbole.utils.InputType`; decides whether training batches contain sampled negative items.
        loss_reduction: ``"mean"`` if :meth:`calculate_loss` is the mean over the batch, ``"sum"`` if it is the sum.
        loss_of_examples: whether the loss of a batch is the mean (sum) of one term per example. False if a term depends
            on the whole batch, such as an unsquared norm or a contrastive loss between examples. The objective of such
            a model changes if several processes each compute the loss on a part of every batch.
        warm_up_epochs: number of epochs that train an auxiliary part (such as a teacher) before the ``epochs`` of the
            configuration, without validation. They are included in the numbering of epochs.
        row_tables: parameter name to the batch fields with its row indices, for embedding tables. The loss of a batch
            must read no other rows of them. Second-order unlearning algorithms then compute with these rows only.
        entry_tables: parameter name to the name of a buffer, for matrices of which only some entries are stored. The
            parameter is the vector of stored values. The buffer (int64, ascending, same length) holds the index of each
            value in the flattened matrix. The loss of a batch must read only the values that :meth:`entries` returns.
        user_fields, item_fields: the batch fields with an example's user id, and with its input and target item ids.
            The base class of each task sets them; :meth:`lookups` uses them.
        selective: names of the parameters that mainly represent the user (session) who asks for forgetting, such as the
            user embeddings. The algorithm SCIF changes only these; if there are none, all parameters.
        reach: which other interactions the loss of an example depends on through what :meth:`rebuild` derives from the
            data. None: none. 0: those of the same user or item. n: those up to n steps further in the user-item graph,
            as with n graph propagations. ``math.inf``: all.
        rebuild_changes_scores: whether scores depend on what :meth:`rebuild` derives from the data, such as a graph.
            False if only the loss depends on it, or if nothing is derived.
        batch_free: names of methods without arguments whose result does not depend on the batch, such as a graph
            propagation. :meth:`loss_sums` calls each of them once for several batches.
        convex: whether the loss is a convex function of the parameters.
        trims: for sequence models, whether the model reads only item ids, padded to the longest sequence of the batch.
            If False, batches are RecBole's: ``MAX_ITEM_LIST_LENGTH`` wide, with a sequence for each loaded column.
        trainable: whether the model has parameters that are trained by gradient.
        epochs_trained: after how many epochs, warm-up included, training reached the current parameters.
        hidden_pairs: (user, item) ids, int64 [n, 2] on the CPU, ascending, that the baseline ``filter`` sets; None for
            none. Evaluation never recommends these items to these users. Checkpoints contain them; :meth:`rebuild`
            keeps them.
        trained_on: ``fingerprint`` of the interaction log on which the Python interface trained it; None if unknown.
    """

    type: ModelType = ModelType.GENERAL  # type: ignore[assignment]  # RecBole's name; hides the module's cast
    input_type: InputType | None = InputType.POINTWISE
    loss_reduction = "mean"
    loss_of_examples = True
    warm_up_epochs = 0
    row_tables: Mapping[str, tuple[str, ...]] = {}
    entry_tables: Mapping[str, str] = {}
    user_fields: tuple[str, ...] = ()
    item_fields: tuple[str, ...] = ()
    selective: tuple[str, ...] = ()
    reach: float | None = None
    rebuild_changes_scores = True
    batch_free: tuple[str, ...] = ()
    convex = False
    trims = False
    epochs_trained = 0
    other_parameter_name: Sequence[str] = ()
    hidden_pairs: torch.Tensor | None = None
    trained_on: str | None = None
    logger = logging.getLogger("recbole")
    ITEM_ID: str
    n_items: int
    device: torch.device

    def __init__(self, config: Config | None = None, dataset: Dataset | None = None) -> None:
        super().__init__()
        self._built_from = config

    @property
    def trainable(self) -> bool:
        """Whether the model is trained by gradient; False for models of RecBole's traditional type."""
        return self.type is not ModelType.TRADITIONAL

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Return the training loss of a batch: a scalar, or a tuple of scalars that are added."""
        raise NotImplementedError

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores, float [batch], of the batch's (user or sequence, item) pairs; higher scores rank first."""
        raise NotImplementedError

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items] or flattened to [batch * n_items].

        The default calls :meth:`predict` for each row of the batch and each item, for a few rows at a time.
        """
        step = max(PAIRS_AT_ONCE // self.n_items, 1)
        scores = [self._every_pair(interaction[at : at + step]) for at in range(0, len(interaction), step)]
        return torch.cat(scores)

    def _every_pair(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items], from :meth:`predict` on every (row, item) pair."""
        pairs = interaction.repeat_interleave(self.n_items)
        items = torch.arange(self.n_items, device=next(self.parameters()).device)
        pairs.update(Interaction({self.ITEM_ID: items.repeat(len(interaction))}))
        return self.predict(pairs).view(len(interaction), self.n_items)

    def logits(self, interaction: Interaction) -> torch.Tensor:
        """Return differentiable scores of all items, float [batch, n_items]: the logits of a softmax over items."""
        return self.full_sort_predict(interaction).view(len(interaction), -1)

    def represent(self, interaction: Interaction) -> torch.Tensor:
        """Return differentiable vectors [batch, d] of the users or sequences; by default the items' :meth:`logits`."""
        return self.logits(interaction)[:, 1:]

    def user_views(self, dataset: Dataset | None = None) -> dict[str, UserView]:
        """Return the user representations that attribute attacks read: name to :class:`UserView`; by default {}.

        Embedding tables come first. ``dataset`` is needed to read a matrix that is computed from the users' histories.
        """
        return {}

    def entries(self, name: str, interaction: Interaction) -> torch.Tensor:
        """Return the positions (int64) in the stored vector ``name`` (see ``entry_tables``) that a batch reads."""
        raise NotImplementedError

    def shape_of(self, name: str) -> tuple[int, int]:
        """Return the shape (rows, columns) of the whole matrix of which the vector ``name`` stores some entries."""
        raise NotImplementedError

    def rows_of_entries(self, name: str, entries: torch.Tensor) -> torch.Tensor:
        """Return the matrix row (int64) of the value at each given position (int64) of the stored vector ``name``."""
        return self.get_buffer(self.entry_tables[name])[entries] // self.shape_of(name)[1]

    def entries_of_rows(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        """Return the positions (int64) at which the vector ``name`` stores values of the given matrix rows (int64)."""
        ends = torch.stack([rows, rows + 1]) * self.shape_of(name)[1]
        first, end = torch.searchsorted(self.get_buffer(self.entry_tables[name]), ends)
        sizes = end - first
        shift = (first - (sizes.cumsum(0) - sizes)).repeat_interleave(sizes)
        return torch.arange(len(shift), device=rows.device) + shift

    def erasable(self) -> tuple[str, ...]:
        """Return the names of the trained matrices (not biases or gains), which may be reset or get noise added."""
        trained = ((n, p) for n, p in self.named_parameters() if p.requires_grad)
        return tuple(n for n, p in trained if n in self.entry_tables or (p.dim() > 1 and p.shape[-1] > 1))

    def lookups(self) -> dict[str, tuple[str, ...]]:
        """Return which table rows represent an example's user and items: parameter name to batch fields with row ids.

        The items are those of the example's input and target; ids below 1 are padding. Algorithms that erase the
        parameters of forgotten examples reset or perturb these rows. Unlike with ``row_tables``, the loss may read
        other rows too, as a graph propagation or a softmax over all items does.

        The default returns ``user_embedding`` and ``item_embedding`` (RecBole's names), where the model has them, and
        the tables in ``row_tables``. For a model without any of these, whole tables are erased.
        """
        sides = {"user_embedding": self.user_fields, "item_embedding": self.item_fields}
        found = {name: fields for name, fields in sides.items() if isinstance(getattr(self, name, None), nn.Embedding)}
        return {f"{name}.weight": fields for name, fields in found.items() if fields} | dict(self.row_tables)

    def reads(self) -> dict[str, tuple[str, ...]]:
        """Return the tables whose rows are read only because of examples with their id: parameter name to batch fields.

        The fields hold the row ids; tables in ``entry_tables`` need none, see :meth:`rows_read`. No loss may read a row
        of these tables whose id is in no retained example, cannot be sampled as a negative item and is not in
        :meth:`candidates`. Training leaves such a row at its initial value, apart from weight decay, and so unlearning
        resets it to that value. A graph propagation may read other rows than those of the batch, because a row has
        edges only if examples have its id. The default returns the tables in ``row_tables`` and ``entry_tables``.
        """
        return dict(self.row_tables) | dict.fromkeys(self.entry_tables, ())

    def rows_read(self, name: str, interaction: Interaction) -> torch.Tensor:
        """Return the row ids (int64, with repetitions and padding) that a batch reads in a table of :meth:`reads`.

        For a table of ``entry_tables`` these are positions in the vector of stored values.
        """
        if name in self.entry_tables:
            return self.entries(name, interaction)
        fields = [field for field in self.reads()[name] if field in interaction]
        return torch.cat([interaction[field].reshape(-1) for field in fields])

    def candidates(self) -> dict[str, torch.Tensor]:
        """Return the rows that every batch reads: name of a table in :meth:`reads` to row ids, int64; {} if none."""
        return {}

    def loss_sum(self, interaction: Interaction, outputs: torch.Tensor | None = None) -> torch.Tensor:
        """Return the loss of a batch as a sum over its rows, a scalar; a mean is multiplied by the number of rows.

        If ``outputs`` (the result of :meth:`outputs` for the batch) is given, the loss is computed from them.
        """
        loss = self.calculate_loss(interaction) if outputs is None else self.loss_of(outputs, interaction)
        total = cast("torch.Tensor", sum(loss)) if isinstance(loss, tuple) else loss
        return total * len(interaction) if self.loss_reduction == "mean" else total

    def loss_sums(self, batches: Iterable[Interaction]) -> list[torch.Tensor]:
        """Return the :meth:`loss_sum` of each batch; each method in ``batch_free`` is called once for all batches."""
        made = {name: functools.cache(getattr(self, name)) for name in self.batch_free}
        self.__dict__.update(made)
        try:
            return [self.loss_sum(batch) for batch in batches]
        finally:
            for name in made:
                del self.__dict__[name]

    def outputs(self, interaction: Interaction) -> torch.Tensor | None:
        """Return a differentiable float tensor, usually [batch, ...], of which the batch's loss is a convex function.

        The Gauss-Newton approximation of the Hessian is computed from it and :meth:`loss_of`. The default, ``None``,
        means that the model has no such tensor.
        """

    def loss_of(self, outputs: torch.Tensor, interaction: Interaction) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Return the training loss of a batch as a function of its :meth:`outputs`."""
        raise NotImplementedError

    def factors(self, interaction: Interaction) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """Return ``(encoded, table, target)`` such that the :meth:`outputs` are ``encoded @ table.T``; None by default.

        ``encoded`` is float [batch, d], ``table`` float [items, d], and ``target`` (int64 [batch]) holds the target
        item's row for each example. Allowed only if the loss is the softmax cross-entropy of these outputs. Its
        derivatives are then computed without storing all scores at once.
        """

    def factor_pieces(self, interaction: Interaction) -> Sequence[Interaction]:
        """Split a batch into smaller ones for :meth:`factors`, which stores no scores; by default as :meth:`pieces`."""
        return self.pieces(interaction)

    def pieces(self, interaction: Interaction) -> Sequence[Interaction]:
        """Split a batch into smaller batches in which derivatives of its loss are cheaper to compute.

        Their :meth:`loss_sum` values add up to that of the batch. The default returns the batch unsplit.
        """
        return (interaction,)

    def rebuild(self, dataset: Dataset) -> None:
        """Recompute what is derived from the data, such as a graph, from the interactions retained in ``dataset``.

        The default constructs a new model, then restores the parameters and the running statistics of normalisation
        layers. A model that derives nothing from the data, or can do so at lower cost, overrides this method.

        Raises:
            UserError: the model cannot be constructed from the retained data.
        """
        state = torch.get_rng_state()
        try:
            fresh = type(self)(self._built_from, dataset).to(next(self.parameters()))
            fresh.load_state_dict(fresh.state_dict() | self._trained_state())
        except Exception as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{type(self).__name__} cannot be built on the retained data: {reason}") from error
        finally:
            torch.set_rng_state(state)
        fresh.train(self.training)
        self.__dict__.update(fresh.__dict__)

    def rebuild_without(self, dataset: Dataset, rows: np.ndarray) -> None:
        """Update what is derived from the data after rows were forgotten; the result equals that of :meth:`rebuild`.

        Args:
            dataset: the data, whose mask already marks these interactions as forgotten.
            rows: int64, row indices in ``dataset.log`` of the interactions forgotten since the last update.
        """
        self.rebuild(dataset)

    def _trained_state(self) -> dict[str, torch.Tensor]:
        """Return all parameters and the buffers of normalisation layers, by name."""
        state: dict[str, torch.Tensor] = dict(self.named_parameters(remove_duplicate=False))
        for name, module in self.named_modules():
            if isinstance(module, nn.modules.batchnorm._NormBase):  # batch and instance normalisation
                state |= {f"{name}.{key}": buffer for key, buffer in module.named_buffers(recurse=False)}
        return state

    def make_room(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Convert a checkpoint's ``state_dict`` to this model's layout, and resize parameters whose size is not fixed.

        Called before the tensors are checked. The default returns ``state`` unchanged.

        Raises:
            UserError: the tensors cannot be converted.
        """
        return state

    def learned(self) -> Sequence[torch.Tensor | scipy.sparse.sparray] | None:
        """Return what a model learned in closed form from the retained data: a list of tensors or SciPy arrays.

        For such a model :meth:`rebuild` equals retraining, so unlearning is exact. The arrays are those of the last
        rebuild; later rebuilds do not change them in place. The default, ``None``, means that the model is trained by
        gradient or learns nothing.
        """

    def begin_epoch(self, epoch: int, dataset: Dataset) -> None:
        """Prepare for an epoch (counted from 0) on the training data; the default does nothing.

        Called before the epoch's first batch, and again when a killed run resumes within the epoch. Random numbers
        drawn here must depend only on seed and epoch, so that both calls draw the same.
        """

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        """Return a learning-rate scheduler that is stepped once per epoch, or ``None`` (the default)."""

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode, and clear what RecBole's trained models cache (``other_parameter_name``)."""
        if self.trainable:
            for name in self.other_parameter_name:
                if not isinstance(getattr(self, name, None), nn.Module):
                    setattr(self, name, None)
        return super().train(mode)

    def other_parameter(self) -> dict[str, Any] | None:
        """Return the attributes to store in ``other_parameter`` of a checkpoint, by name; ``None`` if there are none.

        These are what closed-form models have learned, and ``hidden_pairs``. Trained models recompute all others.
        """
        hidden = {} if self.hidden_pairs is None else {HIDDEN: self.hidden_pairs}
        return {name: getattr(self, name) for name in self.other_parameter_name if not self.trainable} | hidden or None

    def load_other_parameter(self, values: Mapping[str, Any] | None) -> None:
        """Set the attributes that :meth:`other_parameter` returned; ``None`` changes nothing.

        Raises:
            UserError: the model has no stored attribute of this name, or the hidden pairs are not ids of this data.
        """
        for name, value in (values or {}).items():
            if name not in (HIDDEN, *self.other_parameter_name):
                raise UserError(f"'other_parameter': {type(self).__name__} has no {name!r}; another model's file?")
            setattr(self, name, checked_pairs(value, self.n_items) if name == HIDDEN else value)

    def __str__(self) -> str:
        count = int(sum(np.prod(p.shape) for p in self.parameters() if p.requires_grad))
        return f"{super().__str__()}\nTrainable parameters: {count}"
