"""NegGrad: a baseline that climbs the loss of what was forgotten."""

from functools import partial
from typing import Any

import torch

from recbole.data import Interaction
from recbole.unlearning.descent import Descent, DescentAlgorithm
from recbole.unlearning.hyper import NeggradHyper


class Neggrad(DescentAlgorithm):
    """Baseline: a few steps up the training loss of the forgotten examples, and nothing else.

    Known by this name from A. Golatkar, A. Achille, S. Soatto, "Eternal Sunshine of the Spotless Net: Selective
    Forgetting in Deep Networks", CVPR 2020, which compares with it (equation numbers not checked). The loss of an
    example that is wrong already has no bound, so that nothing in the method says when to stop: what keeps it from ruin
    is that its steps are few and small, ``neggrad_steps`` of SGD without momentum over the examples that held a
    forgotten row, as they were. Training's own negatives stand beside them, drawn anew for each step. An example of
    which something is retained (a shorter session, the rest of a basket) is climbed on as a whole, what is retained
    of it included.
    """

    name = "neggrad"
    Hyper = NeggradHyper
    hyper: NeggradHyper

    def descend(self, descent: Descent) -> dict[str, Any]:
        """Take steps up the loss of forgotten examples."""
        hyper = self.hyper
        optimizer = self.sgd(hyper.neggrad_rate, momentum=0.0)
        for step in range(hyper.neggrad_steps):
            for at, batch in enumerate(descent.forgotten()):
                loss = partial(self._negative, descent, batch, step, at)
                descent.take(optimizer, loss, longest=hyper.neggrad_clip * len(batch))
        return {"n_ascended": len(descent.case.change.before)}

    def _negative(self, descent: Descent, batch: Interaction, *name: int) -> torch.Tensor:
        """Return the sum over a batch's examples of their training losses, negative."""
        return -len(batch) * descent.mean_loss_of(batch, "ascent", *name)
