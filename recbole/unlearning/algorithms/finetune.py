"""Finetune: a baseline that goes on training without what was forgotten."""

from functools import partial
from typing import Any

from recbole.unlearning.descent import Descent, DescentAlgorithm
from recbole.unlearning.hyper import FinetuneHyper


class Finetune(DescentAlgorithm):
    """Baseline: a little more training on retained data alone, and the forgotten fade if they do.

    The forgotten examples are never looked at; that training forgets what it no longer sees ("catastrophic
    forgetting") is all that this relies on. Each request draws ``finetune_samples`` retained examples of anybody's for
    each forgotten one, with training's own loss and negatives, in batches of at most 256, and takes a step of SGD
    (momentum 0.9) for each batch. Training's optimizer is mostly Adam, by whose momentum and scaling rows without a
    gradient drift; its state is not kept either.
    """

    name = "finetune"
    Hyper = FinetuneHyper
    hyper: FinetuneHyper

    def descend(self, descent: Descent) -> dict[str, Any]:
        """Take steps on retained examples."""
        hyper, case = self.hyper, descent.case
        examples = case.retained_examples(hyper.finetune_samples * len(case.change.before), "repair")
        optimizer = self.sgd(hyper.finetune_rate)
        for batch in descent.batches(examples, "repair"):
            descent.take(optimizer, partial(descent.mean_loss, batch, "repair"), longest=hyper.finetune_clip)
        return {"n_retained": len(examples)}
