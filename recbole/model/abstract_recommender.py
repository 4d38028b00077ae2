"""What every model offers, under RecBole's names; the defaults let a plain RecBole model run untouched."""

import numpy as np
import torch
from torch import nn

from recbole.utils import InputType, ModelType, UserError


class AbstractRecommender(nn.Module):
    """A model: a loss to train on, and scores to rank by.

    Class attributes that a model declares:

    Attributes:
        type: :class:`~recbole.utils.ModelType`; decides the data task.
        input_type: :class:`~recbole.utils.InputType`; decides whether negatives stand beside positives.
        loss_reduction: ``"mean"`` if :meth:`calculate_loss` is the mean over the batch, ``"sum"`` if it is the sum.
        row_tables: parameter name to the interaction fields that index its rows, for parameters that the loss
            reads only through such look-ups. Second-order work is then confined to the rows that a request touches.
        selective: names of the parameters that hold what the model learned of the requester alone; empty if it
            learns nothing of single users.
    """

    type = ModelType.GENERAL
    input_type = InputType.POINTWISE
    loss_reduction = "mean"
    row_tables = {}  # noqa: RUF012
    selective = ()
    other_parameter_name = ()

    def __init__(self, config=None, dataset=None):
        super().__init__()
        self._built_from = config

    def calculate_loss(self, interaction):
        """Return the training loss of a batch: a scalar, or a tuple of scalars that are added."""
        raise NotImplementedError

    def predict(self, interaction):
        """Return the scores [batch] of the batch's (user or sequence, item) pairs."""
        raise NotImplementedError

    def full_sort_predict(self, interaction):
        """Return the scores of every item, [batch, n_items] or flat [batch * n_items]."""
        raise NotImplementedError

    def loss_sum(self, interaction):
        """Return the loss of a batch as the sum over its rows, whatever the model's own reduction is."""
        loss = self.calculate_loss(interaction)
        loss = sum(loss) if isinstance(loss, tuple) else loss
        return loss * len(interaction) if self.loss_reduction == "mean" else loss

    def rebuild(self, dataset):
        """Make anew what was derived from the data (a graph, item weights), from ``dataset`` under its current mask.

        The default constructs the model again and keeps the parameters; a model that derives nothing, or that knows a
        cheaper way, overrides this.

        Raises:
            UserError: when the model cannot be constructed from the data again.
        """
        state = torch.get_rng_state()
        try:
            fresh = type(self)(self._built_from, dataset).to(next(self.parameters()).device)
        except Exception as error:
            raise UserError(f"{type(self).__name__} cannot be built on the reduced data: {error}") from error
        finally:
            torch.set_rng_state(state)
        with torch.no_grad():
            for new, old in zip(fresh.parameters(), self.parameters(), strict=True):
                new.copy_(old)
        fresh.train(self.training)
        self.__dict__.update(fresh.__dict__)

    def scheduler(self, optimizer):
        """Return a learning-rate scheduler for training to step once an epoch; ``None``, as here, for none."""

    def other_parameter(self):
        """Return the further attributes that RecBole's checkpoints carry, by name; ``None`` if there are none."""
        return {name: getattr(self, name) for name in self.other_parameter_name} or None

    def load_other_parameter(self, values):
        """Set the attributes that :meth:`other_parameter` returned."""
        for name, value in (values or {}).items():
            setattr(self, name, value)

    def __str__(self):
        count = int(sum(np.prod(p.shape) for p in self.parameters() if p.requires_grad))
        return f"{super().__str__()}\nTrainable parameters: {count}"


class GeneralRecommender(AbstractRecommender):
    """A collaborative-filtering model: it knows users by their id."""

    type = ModelType.GENERAL

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.USER_ID = config["USER_ID_FIELD"]
        self.ITEM_ID = config["ITEM_ID_FIELD"]
        self.NEG_ITEM_ID = config["NEG_PREFIX"] + self.ITEM_ID
        self.n_users = dataset.num(self.USER_ID)
        self.n_items = dataset.num(self.ITEM_ID)
        self.device = config["device"]


class SequentialRecommender(AbstractRecommender):
    """A session-based model: it knows a user or session by the items so far."""

    type = ModelType.SEQUENTIAL

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.USER_ID = config["USER_ID_FIELD"]
        self.ITEM_ID = config["ITEM_ID_FIELD"]
        self.ITEM_SEQ = self.ITEM_ID + config["LIST_SUFFIX"]
        self.ITEM_SEQ_LEN = config["ITEM_LIST_LENGTH_FIELD"]
        self.POS_ITEM_ID = self.ITEM_ID
        self.NEG_ITEM_ID = config["NEG_PREFIX"] + self.ITEM_ID
        self.max_seq_length = config["MAX_ITEM_LIST_LENGTH"]
        self.n_items = dataset.num(self.ITEM_ID)
        self.device = config["device"]

    def gather_indexes(self, output, gather_index):
        """Return ``output[row, gather_index[row]]``: [batch, length, d] and [batch] to [batch, d]."""
        index = gather_index.view(-1, 1, 1).expand(-1, -1, output.shape[-1])
        return output.gather(dim=1, index=index).squeeze(1)


class NextBasketRecommender(AbstractRecommender):
    """A next-basket model: it knows a user by the baskets so far."""

    type = ModelType.NEXT_BASKET
    input_type = InputType.LISTWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.USER_ID = config["USER_ID_FIELD"]
        self.ITEM_ID = config["ITEM_ID_FIELD"]
        self.n_items = dataset.num(self.ITEM_ID)
        self.device = config["device"]
