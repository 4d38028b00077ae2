"""The attackers: classifiers that predict the group of a user, trained on users whose group is known."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole.utils import UserError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from recbole.evaluator.kinds import Floats, Ids

_HIDDEN = 100
_ROUNDS, _DEPTH, _RATE = 50, 4, 0.5
_WIDE_STRENGTH = 0.01
"""Logistic regression's inverse regularisation strength C on ``wide`` features, where it is more accurate than 1."""


@dataclass(frozen=True)
class Features:
    """The features of all users, from which an attacker predicts their groups (such as age groups).

    Attributes:
        matrix: float64 [n, d], one row per user id.
        wide: sparse float64 [n, items], the same information before its reduction to d columns. Logistic regression
            uses it instead of ``matrix``. None if the features were not reduced.
    """

    matrix: Floats
    wide: csr_array | None = None


def _logistic(seed: int, wide: bool = False) -> Any:
    """Return an untrained logistic regression with standardised columns.

    Args:
        seed: not used; training is deterministic.
        wide: True for sparse features, whose columns are scaled but not centred.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    strength = _WIDE_STRENGTH if wide else 1.0
    return make_pipeline(StandardScaler(with_mean=not wide), LogisticRegression(C=strength, max_iter=1000))


def _trees(seed: int) -> Any:
    """Return an untrained gradient-boosted tree classifier of scikit-learn."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_depth=_DEPTH, max_iter=_ROUNDS, learning_rate=_RATE, early_stopping=False, random_state=seed
    )


def _mlp(seed: int) -> Any:
    """Return an untrained multi-layer perceptron with one hidden layer."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((_HIDDEN,), alpha=1, max_iter=500, learning_rate_init=0.01, random_state=seed)


def _xgboost(seed: int) -> Any:
    """Return an untrained XGBoost classifier."""
    from xgboost import XGBClassifier

    return XGBClassifier(
        max_depth=_DEPTH, n_estimators=_ROUNDS, learning_rate=_RATE, reg_lambda=1, tree_method="hist", n_jobs=1,
        random_state=seed,
    )  # fmt: skip


_MAKERS: dict[str, Callable[[int], Any]] = {"logistic": _logistic, "trees": _trees, "mlp": _mlp, "xgboost": _xgboost}

ATTACKERS = tuple(_MAKERS)
"""The names of the attackers.

``logistic``: logistic regression on standardised columns. ``trees``: 50 gradient-boosted trees of depth 4, learning
rate .5. ``mlp``: one hidden layer of 100 units, L2 penalty (alpha) 1, at most 500 epochs, learning rate .01, on
unscaled columns. ``xgboost``: XGBoost with the settings of ``trees``.
"""

USUAL = ("logistic", "trees", "mlp")
"""The attackers that need only scikit-learn, where ``trees`` takes the place of XGBoost."""

_PACKAGES = {"sklearn": "scikit-learn", "xgboost": "xgboost"}


def check_installed(attackers: tuple[str, ...] = USUAL) -> None:
    """Check that the packages that the attackers need are installed.

    Args:
        attackers: names of attackers.

    Raises:
        UserError: a package is not installed; the message says how to install it.
    """
    for module in ("sklearn", *(["xgboost"] if "xgboost" in attackers else [])):
        if importlib.util.find_spec(module) is None:
            name = _PACKAGES[module]
            raise UserError(f"attacks need {name}: pip install {name} (or pip install 'erase-bench[attack]')")


def read(
    attacker: str, features: Features, train: Ids, groups: Ids, test: Ids, seed: int, weights: Floats | None = None
) -> Floats:
    """Train an attacker on users whose group is known, and return its predictions for other users.

    Args:
        attacker: one of :data:`ATTACKERS`.
        features: the features of all users.
        train: int64 [m], ids of the users whose group is known: their rows in the features.
        groups: int64 [m], their groups, numbered from 0; each group occurs.
        test: int64 [n], ids of the users whose group is predicted.
        seed: the attacker's random seed.
        weights: float64 [m], sample weights of the users with known group; None gives all the same weight.

    Returns:
        The probability of each group, float64 [n, groups].
    """
    matrix: Any = features.matrix
    model = _MAKERS[attacker](seed)
    if attacker == "logistic" and features.wide is not None:
        matrix, model = features.wide, _logistic(seed, wide=True)
    key = "logisticregression__sample_weight" if attacker == "logistic" else "sample_weight"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(onverge|terations reached).*")
        model.fit(matrix[train], groups, **({} if weights is None else {key: weights}))
    return np.asarray(model.predict_proba(matrix[test]), dtype=np.float64)


@contextmanager
def one_thread() -> Iterator[None]:
    """Context manager that limits numerical libraries to one thread, so that results do not depend on the CPU count."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield
