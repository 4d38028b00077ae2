"""Dataclasses of the algorithms' hyper-parameters, from which flags, help texts and configuration keys are made."""

import types
import typing
from dataclasses import dataclass, field, fields
from typing import Any, Self

from recbole.config import Config
from recbole.config.rules import rule_by_default
from recbole.utils import UserError


def hyperparameter(
    default: Any, help_text: str, above: float | None = None, least: float | None = None, most: float | None = None
) -> Any:
    """Return a dataclass field that declares a hyper-parameter.

    Args:
        default: the default value; ``None`` if the algorithm then chooses a value or does without one.
        help_text: the help text on the command line.
        above: the value must be larger than this; ``None`` for no such bound.
        least: the smallest value allowed; ``None`` for no such bound.
        most: the largest value allowed; ``None`` for no such bound.
    """
    return field(default=default, metadata={"help": help_text, "above": above, "least": least, "most": most})


def plain_type(hint: Any) -> Any:
    """Return the type that is not ``None`` in a union, such as ``float`` for ``float | None``; else ``hint`` itself."""
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint


@dataclass(frozen=True)
class NoHyperParameters:
    """Base class of the dataclasses that hold an algorithm's hyper-parameters; itself it has no fields.

    A subclass has one field per hyper-parameter, made by :func:`hyperparameter`. The field's name is also the name of
    the command-line flag and the configuration key. When an instance is made, values other than ``None`` are checked
    and converted to the type of the field: 64.0 is accepted as the integer 64.

    Raises:
        UserError: a value has another type than its field (bool, int, float or str), or is outside the bounds that
            :func:`hyperparameter` was given.
    """

    @classmethod
    def of(cls, settings: Config) -> Self:
        """Return the hyper-parameters of a run, given its settings; those that are ``None`` have their defaults.

        Raises:
            UserError: a value is out of bounds.
        """
        return cls(**{one.name: settings[one.name] for one in fields(cls) if settings[one.name] is not None})

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for one in fields(self):
            kind, value = plain_type(hints[one.name]), getattr(self, one.name)
            above, least, most = (one.metadata.get(name) for name in ("above", "least", "most"))
            if value is None:
                continue
            if rule := rule_by_default(kind()) if kind in (bool, int, float, str) else None:
                if not rule.meets(value):
                    raise UserError(f"--{one.name} should be {rule.told}, not {value!r}")
                value = rule.kind(value)
                object.__setattr__(self, one.name, value)
            if above is not None and not value > above:
                raise UserError(f"--{one.name}: {value} is not above {above}")
            if least is not None and not value >= least:
                raise UserError(f"--{one.name}: {value} is less than {least}")
            if most is not None and not value <= most:
                raise UserError(f"--{one.name}: {value} is more than {most}")


@dataclass(frozen=True)
class HyperParameters(NoHyperParameters):
    """Hyper-parameters of all algorithms that compute one parameter update per request and add it to the model."""

    max_norm: float | None = hyperparameter(
        None, "largest Euclidean norm of one request's parameter change (default: no limit)", above=0
    )


@dataclass(frozen=True)
class InfluenceHyper(HyperParameters):
    """Hyper-parameters that GIF, CEU and IDEA share."""

    influence_negatives: int = hyperparameter(
        64, "fixed negatives per positive over which a pairwise loss is averaged", least=1
    )


@dataclass(frozen=True)
class FinetuneHyper(HyperParameters):
    """Hyper-parameters of fine-tuning on retained examples, in ``finetune`` and ``neggrad_repair``."""

    finetune_rate: float = hyperparameter(0.2, "learning rate on retained examples", above=0)
    finetune_clip: float = hyperparameter(
        0.5, "Euclidean norm to which gradients on retained examples are clipped", above=0
    )
    finetune_samples: int = hyperparameter(2048, "retained examples to fine-tune on, per forgotten example", least=1)


@dataclass(frozen=True)
class NeggradHyper(HyperParameters):
    """Hyper-parameters of gradient ascent on forgotten examples, in ``neggrad`` and ``neggrad_repair``."""

    neggrad_rate: float = hyperparameter(0.06, "learning rate of the gradient ascent", above=0)
    neggrad_clip: float = hyperparameter(
        0.05, "Euclidean norm to which the gradient is clipped, per forgotten example in a batch", above=0
    )
    neggrad_steps: int = hyperparameter(4, "gradient-ascent steps on each forgotten example", least=1)


@dataclass(frozen=True)
class ViewHyper(NoHyperParameters):
    """Hyper-parameters of all algorithms that unlearn a user attribute: from which user embeddings they remove it."""

    protect_view: str = hyperparameter(
        "all", "user embeddings to protect: table (the trained table), propagated (those computed from it), or all"
    )


@dataclass(frozen=True)
class ProtectHyper(ViewHyper):
    """Hyper-parameters of ``u2u``, ``d2d`` and ``pau``, which change a trained model's user embeddings."""

    protect_regulariser: str = hyperparameter(
        "rank_margin",
        "penalty that preserves recommendations: rank_margin (original top-20 order), l2 (parameter change), none",
    )
    protect_weight: float = hyperparameter(1e-6, "weight of the regulariser", least=0)
    protect_steps: int = hyperparameter(500, "steps of Adam per request, each on all protected users", least=1)
    protect_rate: float = hyperparameter(1e-3, "learning rate of Adam", above=0)
