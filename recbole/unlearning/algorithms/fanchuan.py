"""Fanchuan: optimiser steps towards uniform predictions, then contrastive steps and fine-tuning in turn."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from recbole.config import Config
from recbole.data import Change, Dataset, Interaction
from recbole.data.ids import distinct, held
from recbole.data.split import TRAIN
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.algorithm import HyperParameters, hyperparameter
from recbole.unlearning.descent import BATCH_SIZE, Descent, DescentAlgorithm
from recbole.unlearning.second_order.curvature import second_order
from recbole.utils import UserError


@dataclass(frozen=True)
class FanchuanHyper(HyperParameters):
    """Hyper-parameters of the algorithm ``fanchuan``, which are constants in ERASE; see the fields' help texts."""

    fanchuan_rounds: int = hyperparameter(8, "rounds of contrastive and repair steps", least=0)
    fanchuan_temperature: float = hyperparameter(1.15, "temperature of the contrastive loss", above=0)
    fanchuan_erase_rate: float = hyperparameter(5e-3, "learning rate of the step towards uniform predictions", least=0)
    fanchuan_contrast_rate: float = hyperparameter(3e-5, "learning rate of the contrastive steps", least=0)
    fanchuan_repair_rate: float = hyperparameter(1e-4, "learning rate of the repair steps", least=0)
    fanchuan_repair_samples: int = hyperparameter(
        16, "retained examples per round of repair, per forgotten example", least=0
    )
    fanchuan_classes: int = hyperparameter(
        64, "drawn items with which the forgotten items are made equally likely", least=1
    )


class Fanchuan(DescentAlgorithm):
    """Makes predictions for forgotten examples uniform, and their representations similar to all retained ones.

    The winning entry of the NeurIPS 2023 Machine Unlearning Challenge, by team "fanchuan", without a paper of its own;
    see E. Triantafillou et al., "Are we making progress in unlearning?", arXiv:2406.09073. The published programs use
    three optimisers. The first minimises ``KL(uniform | softmax(logits))`` in one pass over the forgotten examples.
    Then follow several rounds, in each of which the second optimiser minimises the contrastive loss ``-mean log
    softmax(z_forget . z_retain / temperature)``, and the third fine-tunes on retained examples (repair). ``z`` are
    representations of examples. The contrastive loss is smallest if ``z_forget`` is equally similar to all retained
    examples of a batch. No gradient flows into ``z_retain``.

    In the challenge, the class of a forgotten picture does not matter any more. Here the input is a user whose other
    interests should stay. Uniform therefore means that the user's forgotten items are no likelier than items without
    any relation to the user. Each request draws ``fanchuan_classes`` distinct items (all items if there are fewer). The
    softmax of an example is over the items that its user (session) forgets, and over the drawn items without an
    interaction of the user, retained or forgotten. If there is no such drawn item, the example is left out of the step.
    The forgotten examples are the training examples that contained a forgotten interaction, with their inputs as they
    were before. ``z`` are the logits, as in the original, unless a model overrides ``represent``. They are normalised,
    because inner products over a catalogue instead of ten classes would be too large for any temperature. The
    optimisers are SGD with momentum 0.9. The original's learning-rate schedules are left out, and so is its weight
    decay, which would change all rows of the embedding tables.

    Differences from ERASE's program: no gradient flows into the representations of retained examples; there are three
    optimisers instead of one Adam, whose momentum moves rows without a gradient; logits are used, not probabilities
    that go through a second softmax; and the contrastive loss has no term for the user's own other examples, whose
    gradient is zero.
    """

    name = "fanchuan"
    Hyper = FanchuanHyper
    hyper: FanchuanHyper

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        example = dataset.collate(dataset.train_examples()[:1]).to(self.device)
        with second_order(model):
            differentiable = model.logits(example).requires_grad
        if not differentiable:
            raise UserError(
                f"fanchuan differentiates the model's logits, and those of {type(model).__name__} have no gradient; "
                "choose another --unlearning_algorithm"
            )

    def descend(self, descent: Descent) -> dict[str, Any]:
        """Make predictions for forgotten examples uniform, then take contrastive and repair steps in turn.

        Args:
            descent: makes the optimiser steps for the requests, and supplies the forgotten examples.

        Returns:
            ``{"n_classes": number of drawn items}``.
        """
        hyper, case = self.hyper, descent.case
        pieces = list(descent.forgotten())
        erase, contrast, repair = (
            self.sgd(rate)
            for rate in (hyper.fanchuan_erase_rate, hyper.fanchuan_contrast_rate, hyper.fanchuan_repair_rate)
        )
        catalogue = self.dataset.n_items - 1  # without the padding
        drawn = 1 + case.stream("classes").choice(catalogue, min(hyper.fanchuan_classes, catalogue), replace=False)
        for piece in pieces:
            descent.take(erase, partial(self._from_uniform, piece, case.change, drawn))
        examples = case.retained_examples(hyper.fanchuan_repair_samples * len(case.change.before), "repair")
        for turn in range(hyper.fanchuan_rounds):
            partners = self.dataset.collate(case.retained_examples(BATCH_SIZE, f"partners {turn}"))
            for piece in pieces:
                descent.take(contrast, partial(self._contrast, piece, partners))
            for batch in descent.batches(examples, "repair", turn):
                descent.take(repair, partial(descent.mean_loss, batch, "repair", turn))
        return {"n_classes": len(drawn)}

    def _from_uniform(self, batch: Interaction, change: Change, drawn: np.ndarray) -> torch.Tensor:
        """Return the mean of ``KL(uniform | p)`` over a batch, a scalar tensor.

        ``p`` is the softmax of an example's logits over the items that :meth:`_classes` selects for the example. An
        example without a drawn item among them counts as 0.

        Args:
            batch: forgotten examples, as they were before forgetting.
            change: what the requests forget.
            drawn: int64 [k], ids of the items that were drawn for the requests.
        """
        found = self._classes(batch[self.dataset.uid_field].numpy(), change.rows, drawn)
        classes, known = (torch.from_numpy(array).to(self.device) for array in found)
        logits = self.model.logits(batch.to(self.device))[:, classes].masked_fill(~known, -torch.inf)
        count = known.sum(dim=1)
        log_p = logits.log_softmax(dim=1).masked_fill(~known, 0.0)
        apart = known[:, : len(drawn)].any(dim=1)
        return ((-log_p.sum(dim=1) / count - count.log()) * apart).sum() / len(batch)

    def _classes(self, users: np.ndarray, rows: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Select the items over which each example's softmax is computed.

        Args:
            users: int64 [n], the user id of each example.
            rows: int64, indices of the log rows that the requests forget.
            drawn: int64 [k], ids of the items that were drawn for the requests, distinct.

        Returns:
            Item ids, int64 [m]: the ``k`` drawn items, followed by all forgotten items. And a mask, bool [n, m], of the
            items that each example uses: drawn items without an interaction of the example's user, and items that this
            user forgets.
        """
        log, n_items = self.dataset.log, self.dataset.n_items
        theirs = log.rows_of(distinct(users))
        theirs = theirs[(log.split[theirs] <= TRAIN) & ~self.dataset.forgotten[theirs]]
        forgotten = distinct(log.user[rows] * n_items + log.item[rows])
        taken = distinct(np.concatenate([log.user[theirs] * n_items + log.item[theirs], forgotten]))
        items, keys = distinct(log.item[rows]), users[:, None] * n_items
        known = np.concatenate([~held(keys + drawn, taken), held(keys + items, forgotten)], axis=1)
        return np.concatenate([drawn, items]), known

    def _contrast(self, batch: Interaction, partners: Interaction) -> torch.Tensor:
        """Return the contrastive loss between forgotten and retained examples, a scalar tensor.

        Args:
            batch: forgotten examples, as they were before forgetting.
            partners: retained examples of any users, into which no gradient flows.
        """
        with torch.no_grad():
            others = normalize(self.model.represent(partners.to(self.device)), dim=1)
        own = normalize(self.model.represent(batch.to(self.device)), dim=1)
        similarity = own @ others.T / self.hyper.fanchuan_temperature
        return -similarity.log_softmax(dim=1).mean()
