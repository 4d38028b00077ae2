"""What every model offers, under RecBole's names; the defaults let a plain RecBole model run untouched."""

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
"""How many (user, item) pairs a model without a ranking of its own is asked about at a time."""


class AbstractRecommender(nn.Module):
    """A model: a loss to train on, and scores to rank by.

    Class attributes that a model declares:

    Attributes:
        type: :class:`~recbole.utils.ModelType`; decides the data task.
        input_type: :class:`~recbole.utils.InputType`; decides whether negatives stand beside positives.
        loss_reduction: ``"mean"`` if :meth:`calculate_loss` is the mean over the batch, ``"sum"`` if it is the sum.
        loss_of_examples: whether that mean (sum) is over one term of each example. False if terms belong to a batch
            (a norm that is not squared, examples contrasted with each other): several processes, each with its share
            of every batch, then train another objective.
        warm_up_epochs: how many epochs come before those of ``epochs``, which train something else than what ranks;
            nothing is validated in them. Epochs are counted from the first of them.
        row_tables: parameter name to the interaction fields that index its rows, for parameters that the loss
            reads only through such look-ups. Second-order work is then confined to the rows that a request touches.
        entry_tables: parameter name to the name of a buffer, for matrices of which single entries are stored: the
            parameter is the vector of these, the buffer, int64 and ascending, says of each at which place in the flat
            matrix it is. A batch reads the :meth:`entries` alone, and looks these up in the buffer.
        user_fields, item_fields: the interaction fields that hold an example's user, and the items that are its input
            or its target; set by the task's class. See :meth:`lookups`.
        selective: names of the parameters that hold what the model learned of the requester alone; empty if it
            learns nothing of single users.
        reach: how far the loss of an example depends on other interactions through what :meth:`rebuild` derives from
            the data: None, not at all; 0, on those of the same user and item; n, on those n steps further in the
            interaction graph, as with n propagations; ``math.inf``, on all.
        rebuild_changes_scores: whether scores follow from what :meth:`rebuild` derives from the data, as those of a
            propagation do; False where that serves the loss alone, or there is nothing.
        batch_free: names of the methods without arguments whose result the loss takes whatever the batch, such as a
            propagation over the graph: :meth:`loss_sums` calls them once for several batches.
        convex: whether the loss is a convex function of the parameters.
        trims: whether a sequence model takes batches cut to their longest sequence, and reads nothing but items; else
            it gets RecBole's batches, ``MAX_ITEM_LIST_LENGTH`` wide and with a list of every loaded column.
        trainable: whether there is anything to train by gradient.

    Attributes of an object:

    Attributes:
        epochs_trained: for how many epochs it was, warm-up included; set by whoever trains or loads it.
        hidden_pairs: (person, item) ids, int64 [n, 2] on the CPU, ascending: whom the evaluator shows which items no
            more, whatever they score. None where nothing was ever hidden. Kept in checkpoints and by a rebuild.
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
    logger = logging.getLogger("recbole")
    ITEM_ID: str
    n_items: int
    device: torch.device

    def __init__(self, config: Config | None = None, dataset: Dataset | None = None) -> None:
        super().__init__()
        self._built_from = config

    @property
    def trainable(self) -> bool:
        """False for models of RecBole's traditional type, which are fitted when they are built."""
        return self.type is not ModelType.TRADITIONAL

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Return the training loss of a batch: a scalar, or a tuple of scalars that are added."""
        raise NotImplementedError

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch] of the batch's (user or sequence, item) pairs."""
        raise NotImplementedError

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of every item, [batch, n_items] or flat [batch * n_items].

        The default asks :meth:`predict` for every pair, some rows at a time.
        """
        step = max(PAIRS_AT_ONCE // self.n_items, 1)
        scores = [self._every_pair(interaction[at : at + step]) for at in range(0, len(interaction), step)]
        return torch.cat(scores)

    def _every_pair(self, interaction: Interaction) -> torch.Tensor:
        pairs = interaction.repeat_interleave(self.n_items)
        items = torch.arange(self.n_items, device=next(self.parameters()).device)
        pairs.update(Interaction({self.ITEM_ID: items.repeat(len(interaction))}))
        return self.predict(pairs).view(len(interaction), self.n_items)

    def logits(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch, n_items] that a softmax turns into probabilities, differentiable."""
        return self.full_sort_predict(interaction).view(len(interaction), -1)

    def represent(self, interaction: Interaction) -> torch.Tensor:
        """Return what the model makes of a batch's users or sequences, [batch, d], differentiable; the scores here."""
        return self.logits(interaction)[:, 1:]

    def user_views(self, dataset: Dataset | None = None) -> dict[str, UserView]:
        """Return by what the model, in eval mode, knows people: name to view, a table first; none here.

        Views of what is made of data need these; without, they are named alone.
        """
        return {}

    def entries(self, name: str, interaction: Interaction) -> torch.Tensor:
        """Return which of the stored entries of ``name`` a batch reads, int64, where ``entry_tables`` names it."""
        raise NotImplementedError

    def shape_of(self, name: str) -> tuple[int, int]:
        """Return rows and columns of the matrix that ``entry_tables`` names."""
        raise NotImplementedError

    def rows_of_entries(self, name: str, entries: torch.Tensor) -> torch.Tensor:
        """Return the row of the matrix ``name`` that each of its stored entries (int64, as numbers) is in, int64."""
        return self.get_buffer(self.entry_tables[name])[entries] // self.shape_of(name)[1]

    def entries_of_rows(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        """Return the numbers of the stored entries in some rows (int64, ascending) of the matrix ``name``, int64."""
        ends = torch.stack([rows, rows + 1]) * self.shape_of(name)[1]
        first, end = torch.searchsorted(self.get_buffer(self.entry_tables[name]), ends)
        sizes = end - first
        shift = (first - (sizes.cumsum(0) - sizes)).repeat_interleave(sizes)
        return torch.arange(len(shift), device=rows.device) + shift

    def erasable(self) -> tuple[str, ...]:
        """Names of the trained tables and matrices: what may be drawn anew or made noisy; no biases, no gains."""
        trained = ((n, p) for n, p in self.named_parameters() if p.requires_grad)
        return tuple(n for n, p in trained if n in self.entry_tables or (p.dim() > 1 and p.shape[-1] > 1))

    def lookups(self) -> dict[str, tuple[str, ...]]:
        """Return of which rows of which tables an example speaks: parameter name to interaction fields with their ids.

        These are the rows of its user and of the items that are its input or its target. Unlike ``row_tables`` it does
        not promise that the loss reads no others: a propagation or a softmax over the catalogue reads them all.
        Algorithms that erase what the forgotten examples were about do it in these rows; ids below 1 are padding.

        By default they are the tables that go by RecBole's names ``user_embedding`` and ``item_embedding``, and those
        of ``row_tables``. A model without either, say with a table of its own name, has its tables erased as a whole
        unless it overrides this.
        """
        sides = {"user_embedding": self.user_fields, "item_embedding": self.item_fields}
        found = {name: fields for name, fields in sides.items() if isinstance(getattr(self, name, None), nn.Embedding)}
        return {f"{name}.weight": fields for name, fields in found.items() if fields} | dict(self.row_tables)

    def reads(self) -> dict[str, tuple[str, ...]]:
        """Return by which ids examples read tables: parameter name to the interaction fields that hold them.

        To declare a table is to promise that a row whose id no retained example has, which cannot be drawn as a
        negative (by the items' fields) and is no :meth:`candidates` is read by no loss: training leaves it where it
        started, but for weight decay. A propagation may read a row by other examples too, as long as it starts from
        those of the row's own id. By default the tables of ``row_tables`` and ``entry_tables``.
        """
        return dict(self.row_tables) | dict.fromkeys(self.entry_tables, ())

    def rows_read(self, name: str, interaction: Interaction) -> torch.Tensor:
        """Return which rows of a table of :meth:`reads` a batch's examples have the ids of, int64, with repetitions.

        These are the entries where ``entry_tables`` names it. Each example is to count for itself.
        """
        if name in self.entry_tables:
            return self.entries(name, interaction)
        fields = [field for field in self.reads()[name] if field in interaction]
        return torch.cat([interaction[field].reshape(-1) for field in fields])

    def candidates(self) -> dict[str, torch.Tensor]:
        """Return rows of tables of :meth:`reads` that a loss reads whatever its examples are, int64; none here."""
        return {}

    def loss_sum(self, interaction: Interaction, outputs: torch.Tensor | None = None) -> torch.Tensor:
        """Return the loss of a batch as the sum over its rows, whatever the model's own reduction is.

        With ``outputs``, those that :meth:`outputs` returned for the batch, it is a function of them.
        """
        loss = self.calculate_loss(interaction) if outputs is None else self.loss_of(outputs, interaction)
        total = cast("torch.Tensor", sum(loss)) if isinstance(loss, tuple) else loss
        return total * len(interaction) if self.loss_reduction == "mean" else total

    def loss_sums(self, batches: Iterable[Interaction]) -> list[torch.Tensor]:
        """Return the :meth:`loss_sum` of each of several batches, what is ``batch_free`` computed once for all."""
        made = {name: functools.cache(getattr(self, name)) for name in self.batch_free}
        self.__dict__.update(made)
        try:
            return [self.loss_sum(batch) for batch in batches]
        finally:
            for name in made:
                del self.__dict__[name]

    def outputs(self, interaction: Interaction) -> torch.Tensor | None:
        """Return what the batch's loss is a convex function of, a float tensor, differentiable; mostly [batch, ...].

        With :meth:`loss_of` it makes the Gauss-Newton form of the Hessian. ``None``, as here, if there is no such.
        """

    def loss_of(self, outputs: torch.Tensor, interaction: Interaction) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Return the training loss of a batch as a function of its :meth:`outputs`."""
        raise NotImplementedError

    def factors(self, interaction: Interaction) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """Return float tensors [batch, d] and [items, d] of whose inner products the :meth:`outputs` are a matrix.

        The third is of the right answers' rows, int64 [batch]. A model may declare them only where its loss is the
        softmax's cross-entropy in these outputs: derivatives then take the scores in tiles. ``None``, as here, for any
        other.
        """

    def factor_pieces(self, interaction: Interaction) -> Sequence[Interaction]:
        """Return :meth:`pieces` as derivatives of the :meth:`factors` had better be taken, which score nothing."""
        return self.pieces(interaction)

    def pieces(self, interaction: Interaction) -> Sequence[Interaction]:
        """Return batches that hold a batch's examples between them, as derivatives of its loss had better be taken.

        The sum of their :meth:`loss_sum` is the batch's. The batch itself, as here, unless a model knows a cheaper way.
        """
        return (interaction,)

    def rebuild(self, dataset: Dataset) -> None:
        """Make anew what was derived from the data (a graph, item weights), from ``dataset`` under its current mask.

        The default constructs the model again and keeps the parameters, and the running statistics of normalisations,
        which training made too; a model that derives nothing, or that knows a cheaper way, overrides this.

        Raises:
            UserError: when the model cannot be constructed from the data again.
        """
        state = torch.get_rng_state()
        try:
            fresh = type(self)(self._built_from, dataset).to(next(self.parameters()))
            fresh.load_state_dict(fresh.state_dict() | self._trained_state())
        except Exception as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{type(self).__name__} cannot be built on the reduced data: {reason}") from error
        finally:
            torch.set_rng_state(state)
        fresh.train(self.training)
        self.__dict__.update(fresh.__dict__)

    def rebuild_without(self, dataset: Dataset, rows: np.ndarray) -> None:
        """Bring what was derived from the data up to date; by default with a :meth:`rebuild`, to which it is equal.

        Args:
            dataset: under its current mask, which covers the rows.
            rows: int64, the log rows that were forgotten since the last time; nothing else has changed.
        """
        self.rebuild(dataset)

    def _trained_state(self) -> dict[str, torch.Tensor]:
        """Return what training left, by name: all parameters, and the buffers of normalisations."""
        state: dict[str, torch.Tensor] = dict(self.named_parameters(remove_duplicate=False))
        for name, module in self.named_modules():
            if isinstance(module, nn.modules.batchnorm._NormBase):  # batch and instance normalisation
                state |= {f"{name}.{key}": buffer for key, buffer in module.named_buffers(recurse=False)}
        return state

    def make_room(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a checkpoint's tensors as this model holds them, by name, and make room for as many as there are.

        For a model in which a file decides how many numbers are stored, or which has read other files in the past. The
        tensors are as the file says and not checked yet. By default they are returned as they are.

        Raises:
            UserError: they cannot be.
        """
        return state

    def learned(self) -> Sequence[torch.Tensor | scipy.sparse.sparray] | None:
        """Return what the model knows of the retained data if that is a function of them in closed form.

        Such a model declares by it that a :meth:`rebuild` is a retraining, so that it can delete exactly. It returns
        tensors or SciPy arrays in a list, up to date with the last rebuild, that no later one changes in place.
        ``None``, as here, for a model that is trained, or that learns nothing.
        """

    def begin_epoch(self, epoch: int, dataset: Dataset) -> None:
        """Get ready for an epoch (int from 0) on the training data; does nothing by default.

        Called before the epoch's first batch, and again where a killed run goes on inside the epoch. Randomness must
        come from streams that are keyed by the seed and the epoch.
        """

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        """Return a learning-rate scheduler for training to step once an epoch; ``None``, as here, for none."""

    def train(self, mode: bool = True) -> Self:
        """Set the mode. What RecBole's trained models have kept of their parameters (``restore_…``) is dropped."""
        if self.trainable:
            for name in self.other_parameter_name:
                if not isinstance(getattr(self, name, None), nn.Module):
                    setattr(self, name, None)
        return super().train(mode)

    def other_parameter(self) -> dict[str, Any] | None:
        """Return the further attributes that RecBole's checkpoints carry, by name, or ``None``.

        These are what fitted models know, and what is hidden. Others of trained models follow from their parameters.
        """
        hidden = {} if self.hidden_pairs is None else {HIDDEN: self.hidden_pairs}
        return {name: getattr(self, name) for name in self.other_parameter_name if not self.trainable} | hidden or None

    def load_other_parameter(self, values: Mapping[str, Any] | None) -> None:
        """Set the attributes that :meth:`other_parameter` returned.

        Raises:
            UserError: the hidden pairs are none of this data.
        """
        for name, value in (values or {}).items():
            setattr(self, name, checked_pairs(value, self.n_items) if name == HIDDEN else value)

    def __str__(self) -> str:
        count = int(sum(np.prod(p.shape) for p in self.parameters() if p.requires_grad))
        return f"{super().__str__()}\nTrainable parameters: {count}"
