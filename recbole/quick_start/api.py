"""The Python interface: load a data set, train models, unlearn interactions and evaluate. Writes no files."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from recbole.config import Config
from recbole.config.derived import device_settings
from recbole.config.layers import has_properties
from recbole.config.plain import refuse_odd_text
from recbole.data.dataset import Dataset, create_dataset
from recbole.evaluator import EvalSettings, Reference, build_views, check_metrics, evaluate, get_probe
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.quick_start.passed import (
    check_alike,
    check_model,
    check_used,
    checked_class,
    checked_rows,
    checked_tokens,
)
from recbole.trainer.learn import learn, new_model
from recbole.trainer.state import Done, Run, State
from recbole.unlearning.registry import check_kind, get_algorithm, hyper_parameters
from recbole.unlearning.request import Request
from recbole.utils import UserError
from recbole.utils.deadline import Deadline
from recbole.utils.ending import mended
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
    only_known: bool = False,
) -> Config:
    """Return a configuration that also contains the hyper-parameters of all unlearning algorithms.

    Hyper-parameters that neither a file nor ``config_dict`` sets have their default values.

    Args:
        model: the model's class name, such as ``BPR``, or the class; None if a file or ``config_dict`` names the model.
        dataset: the data set's name (of its folder); None if a file or ``config_dict`` gives the name.
        config_file_list: paths of YAML files; later files override earlier ones.
        config_dict: settings, key to value; they override the files.
        only_known: whether an unknown key in ``config_dict`` is an error; keys of a model of your own are not known.

    Raises:
        UserError: a file cannot be read, a key is unknown where this is an error, or a value is invalid.
    """
    defaults = {one.name: None if one.default is None else one.type(one.default) for one in hyper_parameters()}
    return Config(model, dataset, config_file_list, config_dict, extra_defaults=defaults, only_known=only_known)


@mended()
def load_data(
    model: str | type[AbstractRecommender],
    dataset: str,
    files: str | Path | Sequence[str | Path] | None = None,
    **given: Any,
) -> Bench:
    """Read and split a data set, for experiments with one model class.

    Args:
        model: the model's class name, such as ``BPR``, or a model class of your own.
        dataset: the data set's name, which is the name of its folder in ``data_path``.
        files: path or paths of YAML configuration files.
        given: further settings, such as ``epochs=50``; they override the files. ``device="cpu"`` or ``"cuda:0"`` is
            the same as ``use_gpu`` and ``gpu_id``.

    Returns:
        A :class:`Bench`, whose methods train models on the data, unlearn and evaluate.

    Raises:
        UserError: a data file or configuration file cannot be read, or a setting is invalid, unknown, or one that only
            the command-line programs use. Unknown and unused settings in a file are warnings in the log, as in RecBole.
    """
    model_class = checked_class(model)
    refuse_odd_text(dataset, "dataset")
    if "device" in given:
        device = str(given.pop("device"))
        given |= device_settings(device, given)
    config = settings(model, dataset, files, given, only_known=True)
    check_used(config, given)
    config.bind_model(model_class)
    check_metrics(config)
    for line in config.warnings:
        logger.warning(line)
    return Bench(Run(config, model_class), create_dataset(config, model_class.type))


class Bench:
    """A data set and a model class: trains models of this class, unlearns and evaluates. Made by :func:`load_data`.

    Attributes:
        run: the settings and the model class.
        data: the complete data set, from which no interaction has been removed.
        outcome: one :class:`~recbole.unlearning.outcome.Outcome` (status, size of the update, seconds) per deletion
            request of the last call of :meth:`forget`, in the order of the requests; empty before the first call.
    """

    def __init__(self, run: Run, data: Dataset) -> None:
        self.run, self.data = run, data
        self.outcome: list[Outcome] = []

    def rows(self, users: Sequence[str] | None = None, items: Sequence[str] | None = None) -> np.ndarray:
        """Find the interactions of given users with given items, as input for the other methods.

        Args:
            users: the users' ids as in the data files (tokens); None for all users.
            items: the items' ids as in the data files (tokens); None for all items.

        Returns:
            int64 [n], ascending: row indices of the interaction log ``data.log``, of all splits.

        Raises:
            UserError: a token is not text or does not occur in the data, or no row matches.
        """
        log, chosen = self.data.log, np.ones(len(self.data.log), dtype=bool)
        for side, tokens, ids in (("user", users, log.user), ("item", items, log.item)):
            if tokens is not None:
                named = checked_tokens(f"{side}s", tokens)
                wanted = log.vocabulary[side].ids(named)
                if (wanted < 1).any():
                    raise UserError(f"there is no {side} {named[int(np.argmax(wanted < 1))]!r} in {log.name}")
                chosen &= np.isin(ids, wanted)
        if not chosen.any():
            raise UserError(f"{log.name} has no interaction of these users with these items")
        return np.flatnonzero(chosen)

    def train(self, without: npt.ArrayLike | None = None) -> AbstractRecommender:
        """Train a model from scratch and return it.

        Args:
            without: row indices of the interactions to leave out, from :meth:`rows`, or a boolean mask of all rows;
                None to leave out none.

        Raises:
            UserError: ``without`` is something else, training diverged, or there is not enough memory.
        """
        config, state = self.run.config, self._state("without", without)
        with _quiet():
            model = learn(self.run, state).model
            if not has_properties(config["model"]):  # unknown settings may be hyper-parameters of a model of one's own
                config.warn_unread(logger, but=config.asked.keys() - config.undeclared)
        return self._known(model)

    def forget(
        self, model: AbstractRecommender, rows: npt.ArrayLike, algorithm: str = "scif", **hyper: Any
    ) -> AbstractRecommender:
        """Unlearn interactions from a copy of a trained model, and return this copy.

        Every user with interactions in ``rows`` makes one deletion request, for all of the user's interactions in
        ``rows``. The algorithm processes one request after the other, in the order of the users' tokens. Afterwards
        :attr:`outcome` says how each request ended.

        Args:
            model: a model that :meth:`train` trained on all interactions, or a copy of it; it is not changed.
            rows: row indices of the interactions to forget, from :meth:`rows`, or a boolean mask of all rows.
            algorithm: the name of the unlearning algorithm.
            hyper: values of hyper-parameters of the algorithm, by name; the others have their default values.

        Raises:
            UserError: there is no such algorithm, it does not forget interactions or does not support the model, it has
                no such hyper-parameter or not with this value; or the model is of another class than the bench's, was
                trained on other data or with other hyper-parameters; or there are no such rows.
        """
        cls = get_algorithm(str(algorithm))
        check_kind(cls, "rows")
        known = [one.name for one in hyper_parameters([cls.name])]
        if unknown := [name for name in hyper if name not in known]:
            raise UserError(f"{algorithm} has no hyper-parameter {unknown[0]!r}; known: {', '.join(known)}")
        check_model("model", model, self.run, self.data)
        check_alike("model", model, self.run)
        rows = checked_rows("rows", rows, len(self.data.log))
        config = self.run.config.with_values(unlearning_algorithm=cls.name, **hyper)
        with _quiet():
            copy = new_model(self.run, self._state("rows", None))
            copy.load_state_dict(model.state_dict())
            copy.epochs_trained = model.epochs_trained
            copy.eval()
            working = cls(config, copy, self.data.masked(np.zeros(len(self.data.log), dtype=bool)))
            users = self.data.log.user[rows]
            asked = [(self.data.log.vocabulary["user"].tokens([user])[0], rows[users == user]) for user in set(users)]
            requests = [Request(at, token, mine) for at, (token, mine) in enumerate(sorted(asked, key=lambda a: a[0]))]
            self.outcome = [working.forget([request], Deadline()) for request in requests]
        return self._known(working.model)

    def evaluate(self, rows: npt.ArrayLike | None = None, **models: AbstractRecommender) -> pd.DataFrame:
        """Evaluate models on the same test interactions.

        Args:
            rows: row indices of the forgotten interactions, from :meth:`rows`, or a boolean mask of all rows. The
                result then also says how the models score these interactions, and has metrics that are computed without
                them. None if nothing was forgotten.
            models: dict from name to model, all of the bench's class and trained on its data; the names appear in the
                column ``model`` of the result. If one of the models is called ``retrained``, the result also has the
                distances of the others from this model.

        Returns:
            A table with one row per model, metric, list length and group of users. The columns are those of
                :data:`~recbole.evaluator.table.COLUMNS`.

        Raises:
            UserError: a model is of another class or was trained on other data, or there are no such rows.
        """
        import pandas as pd

        config, state = self.run.config, self._state("rows", rows)
        for name, model in models.items():
            check_model(name, model, self.run, self.data)
        probes = [get_probe(name)() for name in _PROBES]
        shown = EvalSettings.from_config(config)
        found = []
        with _quiet():
            view = build_views(self.data, state.forgotten, None, config["seed"])
            for name, model in models.items():
                other = models.get("retrained") if name != "retrained" else None
                reference = None if other is None else Reference(other, "retrained")
                found += evaluate(model, view, shown, probes, reference, model=name)
        return pd.DataFrame(found)

    def _state(self, name: str, without: npt.ArrayLike | None) -> State:
        """Return the state without the rows that the argument ``name`` of a method names; None names none."""
        forgotten = np.zeros(len(self.data.log), dtype=bool)
        if without is None:
            return State("base", self.data, forgotten)
        rows = checked_rows(name, without, len(forgotten))
        forgotten[rows] = True
        return State("retrained", self.data, forgotten, Done("", len(rows)))

    def _known(self, model: AbstractRecommender) -> AbstractRecommender:
        """Return the model, in which it is noted on which data it was trained."""
        model.trained_on = self.data.log.fingerprint
        return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Log only warnings inside the block, unless the log level is DEBUG, and raise lack of memory as a ``UserError``.

    The script's settings of PyTorch have no effect inside, and they and logging are restored, see :func:`undisturbed`.
    """
    with undisturbed(), mended():
        if not logger.isEnabledFor(logging.DEBUG):
            logger.setLevel(logging.WARNING)
        yield
