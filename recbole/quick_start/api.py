"""This package from Python: load a data set, train, forget some rows, evaluate. Nothing is written."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole.config import Config
from recbole.data.dataset import Dataset, create_dataset
from recbole.evaluator import EvalSettings, Reference, build_views, check_metrics, evaluate, get_probe
from recbole.model import get_model
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer.learn import learn, new_model
from recbole.trainer.state import Done, Run, State
from recbole.unlearning.registry import get_algorithm, hyper_parameters
from recbole.unlearning.request import Request
from recbole.utils import UserError
from recbole.utils.deadline import Deadline
from recbole.utils.undisturbed import undisturbed

if TYPE_CHECKING:
    import pandas as pd

    from recbole.unlearning.outcome import Outcome

logger = logging.getLogger("recbole")

_PROBES = ("utility", "forgotten", "distance")


def settings(
    model: str | type[Any] | None = None,
    dataset: str | None = None,
    config_file_list: str | Path | Sequence[str | Path] | None = None,
    config_dict: Mapping[str, Any] | None = None,
) -> Config:
    """Return settings that know the hyper-parameters of every unlearning algorithm.

    Raises:
        UserError: as :class:`~recbole.config.Config`.
    """
    defaults = {one.name: None if one.default is None else one.type(one.default) for one in hyper_parameters()}
    return Config(model, dataset, config_file_list, config_dict, extra_defaults=defaults)


def load_data(
    model: str | type[AbstractRecommender],
    dataset: str,
    files: str | Path | Sequence[str | Path] | None = None,
    **given: Any,
) -> Bench:
    """Read and split a data set for a model.

    Args:
        model: its name, or a class of one's own.
        dataset: its name.
        files: paths of configuration files.
        given: settings, such as ``epochs=50``.

    Raises:
        UserError: for anything in the files or settings that cannot be.
    """
    config = settings(model, dataset, files, given)
    model_class = model if isinstance(model, type) else get_model(model)
    config.bind_model(model_class)
    check_metrics(config)
    return Bench(Run(config, model_class), create_dataset(config, model_class.type))


class Bench:
    """A data set and a model's settings: what is trained, forgotten and compared. See :func:`load_data`.

    Attributes:
        run: the settings and the model's class.
        data: all of the data, nothing forgotten.
        outcome: what became of each request of the last :meth:`forget`.
    """

    def __init__(self, run: Run, data: Dataset) -> None:
        self.run, self.data = run, data
        self.outcome: list[Outcome] = []

    def rows(self, users: Sequence[str] | None = None, items: Sequence[str] | None = None) -> np.ndarray:
        """Return the log rows (int64) of users (tokens), of items, or of these users with these items.

        Raises:
            UserError: a token is not in the data, or no such row is.
        """
        log, chosen = self.data.log, np.ones(len(self.data.log), dtype=bool)
        for side, tokens, ids in (("user", users, log.user), ("item", items, log.item)):
            if tokens is not None:
                wanted = log.vocabulary[side].ids(tokens)
                if (wanted < 1).any():
                    raise UserError(f"there is no {side} {tokens[int(np.argmax(wanted < 1))]!r} in {log.name}")
                chosen &= np.isin(ids, wanted)
        if not chosen.any():
            raise UserError(f"{log.name} has no interaction of these users with these items")
        return np.flatnonzero(chosen)

    def train(self, without: np.ndarray | None = None) -> AbstractRecommender:
        """Return a trained model; with ``without`` (int64 log rows) one retrained from scratch without these."""
        with _quiet():
            return learn(self.run, self._state(without)).model

    def forget(
        self, model: AbstractRecommender, rows: np.ndarray, algorithm: str = "scif", **hyper: Any
    ) -> AbstractRecommender:
        """Return a copy of a trained model that has forgotten rows, request by request: one of each user.

        Args:
            model: as :meth:`train` returned it; it stays as it is.
            rows: int64, log rows.
            algorithm: its name.
            hyper: its hyper-parameters.

        Raises:
            UserError: the algorithm means nothing on the model, or has no such hyper-parameter.
        """
        cls = get_algorithm(algorithm)
        known = [one.name for one in hyper_parameters([algorithm])]
        if unknown := [name for name in hyper if name not in known]:
            raise UserError(f"{algorithm} has no hyper-parameter {unknown[0]!r}; known: {', '.join(known)}")
        config = self.run.config.with_values(unlearning_algorithm=algorithm, **hyper)
        with _quiet():
            copy = new_model(self.run, self._state(None))
            copy.load_state_dict(model.state_dict())
            copy.epochs_trained = model.epochs_trained
            copy.eval()
            working = cls(config, copy, self.data.masked(np.zeros(len(self.data.log), dtype=bool)))
            users = self.data.log.user[rows]
            asked = [(self.data.log.vocabulary["user"].tokens([user])[0], rows[users == user]) for user in set(users)]
            requests = [Request(at, token, mine) for at, (token, mine) in enumerate(sorted(asked, key=lambda a: a[0]))]
            self.outcome = [working.forget([request], Deadline()) for request in requests]
        return working.model

    def evaluate(self, rows: np.ndarray | None = None, **models: AbstractRecommender) -> pd.DataFrame:
        """Return the result table of some models, all asked the same: see :data:`~recbole.evaluator.table.COLUMNS`.

        Args:
            rows: int64, the log rows that are to be forgotten, for the questions about them.
            models: each by the name that its rows have; distances are from one called ``retrained``.
        """
        import pandas as pd

        config = self.run.config
        view = build_views(self.data, self._state(rows).forgotten, None, config["seed"])
        probes = [get_probe(name)() for name in _PROBES]
        shown = EvalSettings.from_config(config)
        found = []
        with _quiet():
            for name, model in models.items():
                other = models.get("retrained") if name != "retrained" else None
                reference = None if other is None else Reference(other, "retrained")
                found += evaluate(model, view, shown, probes, reference, model=name)
        return pd.DataFrame(found)

    def _state(self, without: np.ndarray | None) -> State:
        forgotten = np.zeros(len(self.data.log), dtype=bool)
        if without is None:
            return State("base", self.data, forgotten)
        forgotten[without] = True
        return State("retrained", self.data, forgotten, Done("", len(without)))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave logging, threads and torch's flags as they are, and tell only what is wrong."""
    with undisturbed():
        if not logger.isEnabledFor(logging.DEBUG):
            logger.setLevel(logging.WARNING)
        yield
