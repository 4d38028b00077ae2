"""Finetune: a baseline that continues training on retained data."""

from functools import partial
from typing import Any

from recbole.unlearning.descent import Descent, DescentAlgorithm
from recbole.unlearning.hyper import FinetuneHyper


class Finetune(DescentAlgorithm):
    """Baseline: a little more training on retained data only, in the hope that the model forgets the rest.

    The forgotten examples are never used. The method relies on catastrophic forgetting: a model forgets data on which
    it is no longer trained. For each request, ``finetune_samples`` retained examples per forgotten example are drawn
    from all users. The loss and the sampling of negatives are those of training. There is one step of SGD (momentum
    0.9) per batch of at most 256 examples. Adam, with which most models are trained, is not used, because its momentum
    moves embedding rows that have no gradient, and because checkpoints do not contain its state.
    """

    name = "finetune"
    Hyper = FinetuneHyper
    hyper: FinetuneHyper

    def descend(self, descent: Descent) -> dict[str, Any]:
        """Fine-tune the model on retained examples, in place.

        Args:
            descent: makes the optimiser steps for the requests, and supplies their batches.

        Returns:
            ``{"n_retained": number of examples}``.
        """
        hyper, case = self.hyper, descent.case
        examples = case.retained_examples(hyper.finetune_samples * len(case.change.before), "repair")
        optimizer = self.sgd(hyper.finetune_rate)
        for batch in descent.batches(examples, "repair"):
            descent.take(optimizer, partial(descent.mean_loss, batch, "repair"), longest=hyper.finetune_clip)
        return {"n_retained": len(examples)}
