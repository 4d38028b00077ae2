"""NegGrad with a repair: a baseline that climbs on what was forgotten and then goes on training."""

from dataclasses import dataclass
from typing import Any

from recbole.unlearning.algorithms.finetune import Finetune
from recbole.unlearning.algorithms.neggrad import Neggrad
from recbole.unlearning.descent import Descent
from recbole.unlearning.hyper import FinetuneHyper, NeggradHyper


@dataclass(frozen=True)
class NeggradRepairHyper(NeggradHyper, FinetuneHyper):
    """Those of ``neggrad`` and of ``finetune``."""


class NeggradRepair(Neggrad, Finetune):
    """Baseline: the steps of ``neggrad`` up, then those of ``finetune`` down, as one step.

    The repair takes back what the ascent broke of others, and some of what it forgot. M. Kurmanji, P. Triantafillou,
    J. Hayes, E. Triantafillou, "Towards Unbounded Machine Unlearning", NeurIPS 2023, compare with a NegGrad+ that
    climbs on forgotten and descends on retained examples in the same steps, with a weight between them (equation
    numbers not checked); here one follows the other, as in the three challenge entries.
    """

    name = "neggrad_repair"
    Hyper = NeggradRepairHyper  # type: ignore[assignment]  # of both
    hyper: NeggradRepairHyper

    def descend(self, descent: Descent) -> dict[str, Any]:
        """Climb, then repair."""
        return Neggrad.descend(self, descent) | Finetune.descend(self, descent)
