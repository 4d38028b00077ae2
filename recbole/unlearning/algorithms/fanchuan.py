"""Fanchuan: towards uniform predictions, then contrast and repair by turns."""

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
    """Fanchuan's hyper-parameters; ERASE has them as constants."""

    fanchuan_rounds: int = hyperparameter(8, "rounds of contrast and repair", least=0)
    fanchuan_temperature: float = hyperparameter(1.15, "temperature of the contrast", above=0)
    fanchuan_erase_rate: float = hyperparameter(5e-3, "learning rate of the step to uniform predictions", least=0)
    fanchuan_contrast_rate: float = hyperparameter(3e-5, "learning rate of the contrast", least=0)
    fanchuan_repair_rate: float = hyperparameter(1e-4, "learning rate of the repair", least=0)
    fanchuan_repair_samples: int = hyperparameter(16, "retained examples of a repair, for each forgotten one", least=0)
    fanchuan_classes: int = hyperparameter(64, "drawn items that a forgotten item is to be no likelier than", least=1)


class Fanchuan(DescentAlgorithm):
    """Predictions for forgotten examples are made uniform, and their representations alike to everybody's.

    The winning entry of the NeurIPS 2023 Machine Unlearning Challenge, by team "fanchuan", without a paper of its own;
    see E. Triantafillou et al., "Are we making progress in unlearning?", arXiv:2406.09073. After the published
    programs, three optimizers in turn: once over the forgotten examples ``KL(uniform | softmax(logits))``; then, some
    rounds of ``-mean log softmax(z_forget . z_retain / temperature)``, whose minimum is at equal similarity to all of a
    batch of retained examples, *their* ``z`` detached, followed by a repair on retained examples.

    In the challenge a forgotten picture is nobody's business any more, whatever its class. Here the input is a person
    whose other interests are to stay, so uniform means: the person's forgotten items are no likelier than items that
    the person has nothing to do with. Of ``fanchuan_classes`` different items that a request draws (all, in a smaller
    catalogue), an example's softmax is over those that its user (session, owner of the baskets) neither has among the
    training data, as an input or a target, nor forgets, and over what this user forgets; without any of the former it
    has no part in the step. Examples are those that held a forgotten row, with the inputs that they had. ``z`` are the
    logits, as in the original, unless a model has another ``represent``; they are normalised, since inner products over
    a catalogue instead of ten classes drown any temperature. Optimizers are SGD with momentum 0.9; the original's
    schedules and its weight decay, which would reach everybody's rows, are left out.

    Unlike ERASE: retained partners are detached; three optimizers instead of one Adam, by whose momentum rows without
    a gradient drift; logits, not probabilities that go through a second softmax; no contrast with the person's own
    other examples, whose gradient is zero.
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
            raise UserError(f"fanchuan descends on predictions, and {type(model).__name__}'s have no gradient")

    def descend(self, descent: Descent) -> dict[str, Any]:
        """Erase, then contrast and repair by turns."""
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
        """Return the mean over a batch of ``KL(uniform | p)``, with ``p`` over each example's :meth:`_classes`."""
        found = self._classes(batch[self.dataset.uid_field].numpy(), change.rows, drawn)
        classes, known = (torch.from_numpy(array).to(self.device) for array in found)
        logits = self.model.logits(batch.to(self.device))[:, classes].masked_fill(~known, -torch.inf)
        count = known.sum(dim=1)
        log_p = logits.log_softmax(dim=1).masked_fill(~known, 0.0)
        apart = known[:, : len(drawn)].any(dim=1)
        return ((-log_p.sum(dim=1) / count - count.log()) * apart).sum() / len(batch)

    def _classes(self, users: np.ndarray, rows: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the forgotten items are to be no likelier than.

        Args:
            users: int64 [n], of each example.
            rows: int64, the log rows that are forgotten.
            drawn: int64 [k], different items.

        Returns:
            Items, int64 [m], the ``k`` drawn ones and then the forgotten ones; and which of them count for each
            example, bool [n, m]: drawn ones that its user neither has nor forgets, and those that this user forgets.
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
        with torch.no_grad():
            others = normalize(self.model.represent(partners.to(self.device)), dim=1)
        own = normalize(self.model.represent(batch.to(self.device)), dim=1)
        similarity = own @ others.T / self.hyper.fanchuan_temperature
        return -similarity.log_softmax(dim=1).mean()
