"""RecBole's hyper-parameter search: all combinations, random draws, or tree-structured Parzen estimators.

Unlike RecBole's, it does not use the library hyperopt.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recbole.config.reader import parse_value
from recbole.utils import NotAvailable, UserError, stream
from recbole.utils.recbole_helpers import dict2str

_LINE = re.compile(r"(\S+)\s+(choice|uniform|loguniform|quniform)\s+(.+)")
_BEGIN, _CANDIDATES = 20, 24
"""Constants of the algorithm ``bayes``, with hyperopt's values.

``_BEGIN`` is the number of trials with random parameters before the Parzen estimators are used. ``_CANDIDATES`` is the
number of values that are drawn for a numeric parameter of a trial, one of which the estimators select.
"""

Space = dict[str, tuple[str, list[Any]]]
"""A search space: dict from the name of a parameter to a pair, its kind and the arguments of this kind.

The kinds are ``choice`` (arguments: the possible values), ``uniform`` (lowest and highest value), ``loguniform``
(lowest and highest natural logarithm of the value) and ``quniform`` (lowest and highest value, and their step).
"""

_RANGES = {"uniform": 2, "loguniform": 2, "quniform": 3}


def space_of(lines: Mapping[str, tuple[str, str]]) -> Space:
    """Parse a search space.

    Args:
        lines: dict from the name of a parameter to its kind (``choice``, ``uniform``, ``loguniform`` or ``quniform``)
            and the text that gives the kind's arguments, such as ``[64,128]`` or ``-8,0``.

    Raises:
        UserError: a text is invalid; the message names the parameter.
    """
    found: Space = {}
    for name, (kind, text) in lines.items():
        values = parse_value(text if text.lstrip().startswith("[") else f"[{text}]")
        good = isinstance(values, list) and len(values) > 0
        if good and kind in _RANGES:
            numbers = [isinstance(value, (int, float)) for value in values]
            good = all(numbers) and len(values) == _RANGES[kind] and values[0] <= values[1]
        if not good:
            raise UserError(f"{name}: {kind} {text} is not a valid range; write choice [a,b], or {kind} low,high")
        found[name] = kind, values
    return found


class HyperTuning:
    """Searches for the hyper-parameters with the best validation score.

    Args:
        objective_function: function that trains and evaluates a model, such as
            :func:`~recbole.doors.quick_start.objective_function`. It is called with a dict of settings and with
            ``fixed_config_file_list``, and returns RecBole's result dictionary.
        space: must be None: RecBole's argument is an object of hyperopt, which is not used here.
        params_file: a file with lines like ``learning_rate loguniform -8,0`` or ``embedding_size choice [64,128]``.
        params_dict: the search space as a nested dict: ``{"choice": {"embedding_size": [64, 128]}}``. Not used if there
            is a ``params_file``.
        fixed_config_file_list: path or paths of config files for all trials.
        display_file: must be None: RecBole's plots need plotly, which is not used here.
        algo: ``exhaustive`` (all combinations of choices), ``random`` or ``bayes`` (tree-structured Parzen estimators).
        max_evals: the maximum number of trials; not used for ``exhaustive``.
        early_stop: the search ends after this many trials in a row without a better score than before; not used for
            ``exhaustive``.
        seed: seed for the random draws.

    Attributes:
        best_score, best_params, best_test_result: validation score, parameters and test metrics of the trial with the
            best validation score; None before the first trial.
        params2result: dict from the parameters of each trial, as text from :meth:`params2str`, to its result.

    Raises:
        UserError: no space is given, or it is invalid.
        NotAvailable: an argument needs hyperopt or plotly.
    """

    def __init__(
        self,
        objective_function: Callable[..., dict[str, Any]],
        space: None = None,
        params_file: str | Path | None = None,
        params_dict: Mapping[str, Mapping[str, Any]] | None = None,
        fixed_config_file_list: Any = None,
        display_file: None = None,
        algo: str = "exhaustive",
        max_evals: int = 100,
        early_stop: int = 10,
        seed: int = 2020,
    ) -> None:
        for name, value, instead in (
            ("space", space, "params_file or params_dict"),
            ("display_file", display_file, ""),
        ):
            if value is not None:
                raise NotAvailable(
                    f"HyperTuning: {name} is not available; use {instead or 'export_result, which writes all trials'}"
                )
        if algo not in ("exhaustive", "random", "bayes"):
            raise UserError(f"HyperTuning: algo should be exhaustive, random or bayes, not {algo!r}")
        if params_file is None and params_dict is None:
            raise UserError("HyperTuning: give params_file or params_dict")
        self.space = space_of(_of_file(params_file) if params_file is not None else _of_dict(params_dict or {}))
        self.objective_function, self.fixed_config_file_list = objective_function, fixed_config_file_list
        self.algo, self.max_evals, self.early_stop = algo, max_evals, early_stop
        self.draws = stream(seed, "tuning")
        self.best_score: float | None = None
        self.best_params: dict[str, Any] | None = None
        self.best_test_result: dict[str, float] | None = None
        self.params2result: dict[str, dict[str, Any]] = {}
        self._trials: list[tuple[float, dict[str, Any]]] = []  # (loss, parameters); a smaller loss is better

    def run(self) -> None:
        """Run the search: trial after trial, until all combinations are tried or a limit is reached.

        The limits are ``max_evals`` and ``early_stop``.

        Raises:
            UserError: ``algo`` is ``exhaustive``, and a parameter has a range instead of choices.
        """
        since = 0
        for params in itertools.islice(self._proposals(), None if self.algo == "exhaustive" else self.max_evals):
            since = 0 if self.trial(params) else since + 1
            if since >= self.early_stop and self.algo != "exhaustive":
                return

    def trial(self, params: dict[str, Any]) -> bool:
        """Run one trial.

        Args:
            params: dict from the name of each parameter to its value.

        Returns:
            Whether its validation score is better than that of all earlier trials.
        """
        result = self.objective_function(dict(params), self.fixed_config_file_list)
        self.params2result[self.params2str(params)] = result
        score = result["best_valid_score"]
        loss = -score if result["valid_score_bigger"] else score
        better = not self._trials or loss < min(loss for loss, _ in self._trials)
        self._trials.append((loss, params))
        if better:
            self.best_score, self.best_params, self.best_test_result = score, params, result["test_result"]
        return better

    def export_result(self, output_file: str | Path) -> None:
        """Write the parameters, validation metrics and test metrics of all trials to a text file."""
        parts = [
            f"{params}\nValid result:\n{dict2str(result['best_valid_result'] or {})}\n"
            f"Test result:\n{dict2str(result['test_result'])}\n\n"
            for params, result in self.params2result.items()
        ]
        Path(output_file).write_text("".join(parts), encoding="utf-8")

    @staticmethod
    def params2str(params: Mapping[str, Any]) -> str:
        """Return a dict from parameter to value as text: ``name:value, name:value``."""
        return ", ".join(f"{name}:{value}" for name, value in params.items())

    # --- choosing the parameters of the next trial ---------------------------------------------------------------

    def _proposals(self) -> Iterator[dict[str, Any]]:
        if self.algo == "exhaustive":
            endless = [name for name, (kind, _) in self.space.items() if kind != "choice"]
            if endless:
                raise UserError(
                    f"HyperTuning: exhaustive tries all choices, but {endless[0]} is a range; use random or bayes"
                )
            for values in itertools.product(*(values for _, values in self.space.values())):
                yield dict(zip(self.space, values, strict=True))
            return
        while True:
            guided = self.algo == "bayes" and len(self._trials) >= _BEGIN
            yield {name: self._guided(name) if guided else self._drawn(*of) for name, of in self.space.items()}

    def _drawn(self, kind: str, values: list[Any]) -> Any:
        if kind == "choice":
            return values[int(self.draws.integers(len(values)))]
        number = self.draws.uniform(*values[:2])
        return _number(kind, values, number)

    def _guided(self, name: str) -> Any:
        """Return the value of a parameter for the next trial, by a tree-structured Parzen estimator.

        The trials with the best scores so far count as good. For a numeric parameter, values are drawn near those of
        the good trials. Of these values, the one is returned for which the density of the good trials, divided by the
        density of the others, is largest. For a choice, all possible values are compared, by numbers of trials instead
        of densities.
        """
        kind, values = self.space[name]
        ranked = [params[name] for _, params in sorted(self._trials, key=lambda trial: trial[0])]
        n_good = max(math.ceil(0.25 * math.sqrt(len(ranked))), 2)
        good, others = ranked[:n_good], ranked[n_good:]
        if kind == "choice":
            chance = [(good.count(v) + 1) / (others.count(v) + 1) for v in values]
            return values[int(np.argmax(chance))]
        at = [np.log(v) if kind == "loguniform" else float(v) for v in (*good, *others)]
        width = (values[1] - values[0]) / max(math.sqrt(len(ranked)), 1.0) or 1.0
        near = self.draws.choice(at[:n_good], _CANDIDATES) + self.draws.normal(0, width, _CANDIDATES)
        drawn = np.clip(near, values[0], values[1])
        chances = [
            np.exp(-(((drawn[:, None] - part) / width) ** 2) / 2).mean(axis=1) for part in (at[:n_good], at[n_good:])
        ]
        return _number(kind, values, float(drawn[int(np.argmax(chances[0] / (chances[1] + 1e-12)))]))


def _number(kind: str, values: list[Any], drawn: float) -> float:
    if kind == "loguniform":
        return math.exp(drawn)
    return round(drawn / values[2]) * values[2] if kind == "quniform" else drawn


def _of_file(path: str | Path) -> dict[str, tuple[str, str]]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise UserError(f"{path}, line {number}: should be like 'learning_rate loguniform -8,0', not {line!r}")
        found[match[1]] = match[2], match[3]
    return found


def _of_dict(params: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    unknown = [kind for kind in params if kind != "choice" and kind not in _RANGES]
    if unknown:
        raise UserError(f"HyperTuning: a range is choice, uniform, loguniform or quniform, not {unknown[0]!r}")
    return {name: (kind, str(text)) for kind, ranges in params.items() for name, text in ranges.items()}
