"""NegGrad: a baseline with gradient ascent on the forgotten examples."""

from functools import partial
from typing import Any

import torch

from recbole.data import Interaction
from recbole.unlearning.descent import Descent, DescentAlgorithm
from recbole.unlearning.hyper import NeggradHyper


class Neggrad(DescentAlgorithm):
    """Baseline: a few steps of gradient ascent on the training loss of the forgotten examples.

    The forgotten examples are the training examples that contained a forgotten interaction, as they were before. If a
    part of an example is retained (a shorter session, the rest of a basket), the ascent is nevertheless on the whole
    example. The name is from A. Golatkar, A. Achille, S. Soatto, "Eternal Sunshine of the Spotless Net: Selective
    Forgetting in Deep Networks", CVPR 2020, which compares with this method (equation numbers not checked). The loss of
    an example that is already predicted wrongly has no upper bound, so the method has no criterion for when to stop.
    Only few and small steps keep the model useful: ``neggrad_steps`` passes of SGD without momentum over the forgotten
    examples. Negatives are sampled as in training, and again in each pass.
    """

    name = "neggrad"
    Hyper = NeggradHyper
    hyper: NeggradHyper

    def descend(self, descent: Descent) -> dict[str, Any]:
        """Run gradient ascent on the forgotten examples; the model changes in place.

        Args:
            descent: makes the optimiser steps for the requests, and supplies their batches.

        Returns:
            ``{"n_ascended": number of forgotten examples}``.
        """
        hyper = self.hyper
        optimizer = self.sgd(hyper.neggrad_rate, momentum=0.0)
        for step in range(hyper.neggrad_steps):
            for at, batch in enumerate(descent.forgotten()):
                loss = partial(self._negative, descent, batch, step, at)
                descent.take(optimizer, loss, longest=hyper.neggrad_clip * len(batch))
        return {"n_ascended": len(descent.case.change.before)}

    def _negative(self, descent: Descent, batch: Interaction, *name: int) -> torch.Tensor:
        """Return the negative of the training loss, summed over a batch's rows, a scalar tensor.

        Args:
            descent: samples negatives, and computes the loss.
            batch: forgotten examples, without negatives.
            name: numbers that seed the sampling of negatives: those of the pass and of the batch.
        """
        return -len(batch) * descent.mean_loss_of(batch, "ascent", *name)
