"""Hyper-parameters of the algorithms: dataclasses from which flags, help, keys and documentation follow."""

from dataclasses import dataclass, field, fields
from typing import Any

from recbole.utils import UserError


def hyperparameter(
    default: Any, help_text: str, above: float | None = None, least: float | None = None, most: float | None = None
) -> Any:
    """Return a dataclass field for a hyper-parameter: its default, its help, and the values that it may have."""
    return field(default=default, metadata={"help": help_text, "above": above, "least": least, "most": most})


@dataclass(frozen=True)
class NoHyperParameters:
    """Base of the algorithms' hyper-parameters: none.

    A field's name is its command-line flag and configuration key; ``metadata["help"]`` is its help.

    Raises:
        UserError: when a value is outside the bounds that :func:`hyperparameter` was given.
    """

    def __post_init__(self) -> None:
        for one in fields(self):
            value, bounds = getattr(self, one.name), one.metadata
            above, least, most = (bounds.get(name) for name in ("above", "least", "most"))
            if value is None:
                continue
            if above is not None and not value > above:
                raise UserError(f"--{one.name}: {value} is not above {above}")
            if least is not None and not value >= least:
                raise UserError(f"--{one.name}: {value} is less than {least}")
            if most is not None and not value <= most:
                raise UserError(f"--{one.name}: {value} is more than {most}")


@dataclass(frozen=True)
class HyperParameters(NoHyperParameters):
    """What algorithms that work out a step have in common."""

    max_norm: float | None = hyperparameter(
        None, "largest Euclidean norm of one request's parameter change (default: no limit)", above=0
    )


@dataclass(frozen=True)
class InfluenceHyper(HyperParameters):
    """What the hyper-parameters of SCIF, GIF, CEU and IDEA have in common."""

    influence_negatives: int = hyperparameter(
        64, "fixed negatives for each positive of a pairwise model, averaged over", least=1
    )


@dataclass(frozen=True)
class FinetuneHyper(HyperParameters):
    """What steps on retained examples take: of ``finetune``, and of the repair of ``neggrad_repair``."""

    finetune_rate: float = hyperparameter(0.2, "learning rate on retained examples", above=0)
    finetune_clip: float = hyperparameter(
        0.5, "Euclidean length that gradients of retained examples are cut to", above=0
    )
    finetune_samples: int = hyperparameter(2048, "retained examples to fine-tune on, for each forgotten one", least=1)


@dataclass(frozen=True)
class NeggradHyper(HyperParameters):
    """What ascent on forgotten examples takes: of ``neggrad``, and of the first half of ``neggrad_repair``."""

    neggrad_rate: float = hyperparameter(0.06, "learning rate of the ascent", above=0)
    neggrad_clip: float = hyperparameter(
        0.05, "Euclidean length that a forgotten example's share of the gradient is cut to", above=0
    )
    neggrad_steps: int = hyperparameter(4, "steps up the loss of each forgotten example", least=1)


@dataclass(frozen=True)
class ViewHyper(NoHyperParameters):
    """Which of a model's user views are protected: of all algorithms that make an attribute unreadable."""

    protect_view: str = hyperparameter(
        "all", "user views to protect: table, the first one; propagated, what is computed of it; or all"
    )


@dataclass(frozen=True)
class ProtectHyper(ViewHyper):
    """What changing a trained model's user vectors takes: of ``u2u``, ``d2d`` and ``pau``."""

    protect_regulariser: str = hyperparameter(
        "rank_margin", "what holds the recommendations: rank_margin (of the original top 20), l2 (distance), or none"
    )
    protect_weight: float = hyperparameter(1e-6, "weight of the regulariser", least=0)
    protect_steps: int = hyperparameter(500, "Adam's steps for each request, everybody in each of them", least=1)
    protect_rate: float = hyperparameter(1e-3, "Adam's learning rate", above=0)
