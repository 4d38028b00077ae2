"""NegGrad with a repair: a baseline with gradient ascent on forgotten examples, then fine-tuning on retained ones."""

from dataclasses import dataclass
from typing import Any

from recbole.unlearning.algorithms.finetune import Finetune
from recbole.unlearning.algorithms.neggrad import Neggrad
from recbole.unlearning.descent import Descent
from recbole.unlearning.hyper import FinetuneHyper, NeggradHyper


@dataclass(frozen=True)
class NeggradRepairHyper(NeggradHyper, FinetuneHyper):
    """Hyper-parameters of the algorithm ``neggrad_repair``: those of ``neggrad`` and ``finetune``."""


class NeggradRepair(Neggrad, Finetune):
    """Baseline: for each request the gradient ascent of ``neggrad``, followed by the fine-tuning of ``finetune``.

    The fine-tuning repairs damage that the ascent did to other predictions, and also undoes some of the forgetting. M.
    Kurmanji, P. Triantafillou, J. Hayes, E. Triantafillou, "Towards Unbounded Machine Unlearning", NeurIPS 2023,
    compare with NegGrad+, which ascends on forgotten and descends on retained examples in the same steps, with a weight
    between the two losses (equation numbers not checked). Here the descent follows the ascent, as in the three entries
    of the NeurIPS 2023 Machine Unlearning Challenge (``kookmin``, ``fanchuan``, ``seif``).
    """

    name = "neggrad_repair"
    Hyper = NeggradRepairHyper  # type: ignore[assignment]  # both classes' hyper-parameters
    hyper: NeggradRepairHyper

    def descend(self, descent: Descent) -> dict[str, Any]:
        """Run gradient ascent on the forgotten examples, then fine-tune on retained ones; the model changes in place.

        Args:
            descent: makes the optimiser steps for the requests, and supplies their batches.

        Returns:
            A dictionary with ``n_ascended`` and ``n_retained``, the numbers of forgotten and of retained examples.
        """
        return Neggrad.descend(self, descent) | Finetune.descend(self, descent)
