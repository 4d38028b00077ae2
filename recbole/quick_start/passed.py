"""Checks what a script passes to the Python interface: rows, tokens, models and settings."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from recbole.config import Config
from recbole.config.identity import marked
from recbole.config.layers import packaged
from recbole.data.dataset import Dataset
from recbole.model import get_model
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer.state import Run
from recbole.utils import UserError

logger = logging.getLogger("recbole")


def checked_rows(name: str, rows: Any, n_rows: int) -> np.ndarray:
    """Return row indices of the interaction log as an int64 array [n], in the order and with the repetitions given.

    Args:
        name: the argument's name, for messages.
        rows: a sequence (list, tuple, array, Series or the like) of n integers from 0 to ``n_rows - 1``; or of
            ``n_rows`` booleans, the mask of the rows.
        n_rows: number of rows of the log.

    Raises:
        UserError: ``rows`` is anything else, such as None, negative indices, or an array with two dimensions.
    """
    try:
        found = np.asarray(rows)
    except (TypeError, ValueError, RuntimeError):  # lists of different lengths, tensors on a GPU
        found = np.asarray(None)
    mixed = isinstance(rows, (list, tuple)) and len({isinstance(row, (bool, np.bool_)) for row in rows}) > 1
    if found.ndim != 1:
        wrong = f"this {type(rows).__name__} is no sequence in one dimension"
    elif found.dtype == bool and len(found) != n_rows:
        wrong = f"this mask has length {len(found)}"
    elif mixed or (len(found) and found.dtype.kind not in "biu"):
        wrong = "it contains booleans and integers" if mixed else f"its values have the type {found.dtype}"
    elif found.dtype != bool and (outside := found[(found < 0) | (found >= n_rows)]).size:
        wrong = f"there is no row {outside[0]}"
    else:
        return np.flatnonzero(found) if found.dtype == bool else found.astype(np.int64)
    raise UserError(
        f"{name} should be row indices from 0 to {n_rows - 1}, or a boolean mask of length {n_rows}; {wrong}"
    )


def checked_tokens(name: str, tokens: Any) -> list[str]:
    """Return the tokens of users or items, as the data files spell them, as a list.

    Args:
        name: the argument's name, for messages.
        tokens: several strings: a list, tuple, set, array, Series or the like.

    Raises:
        UserError: ``tokens`` is a single string, cannot be iterated over, or has an element that is no valid text.
    """
    if isinstance(tokens, (str, bytes)) or not np.iterable(tokens):
        raise UserError(f'{name} should be a list of tokens, like ["13", "276"], not {tokens!r}')
    found = list(tokens)
    for token in found:
        if not isinstance(token, str) or any("\ud800" <= char <= "\udfff" for char in token):
            raise UserError(f'{name} should contain tokens as text, like "13", not {token!r}')
    return found


def check_model(name: str, model: Any, run: Run, data: Dataset) -> None:
    """Check that a model is of a run's class and was trained on the data.

    The data are recognised by ``trained_on``. A model without it, which was trained in another way than by the Python
    interface, only needs the same numbers of users and items.

    Args:
        name: the argument's name, for messages.
        model: what the script passed.
        run: the settings and the model class.
        data: the data set.

    Raises:
        UserError: it is no model of this class, or was trained on other data.
    """
    wanted, kind = run.model_class, type(model)
    if kind is not wanted:
        what = f"{kind.__name__} whose class was defined again" if kind.__name__ == wanted.__name__ else kind.__name__
        raise UserError(f"{name} should be a trained {wanted.__name__}, the model class of this bench, not {what}")
    counts = {side: getattr(data, side) for side in ("n_users", "n_items")}
    if model.trained_on is None:
        other = any(getattr(model, side, count) != count for side, count in counts.items())
    else:
        other = model.trained_on != data.log.fingerprint
    if other:
        raise UserError(
            f"{name} was trained on other data (file, columns, filter or split) than those of this bench, "
            f"{data.log.name}; use the bench that trained it, or train it again"
        )


def check_alike(name: str, model: AbstractRecommender, run: Run) -> None:
    """Check that a model was made with the hyper-parameters of a run, such as ``embedding_size``.

    Raises:
        UserError: one of them has another value; the message names it.
    """
    made, config = model._built_from, run.config
    for key in sorted(packaged(f"model/{config['model']}.yaml").values or config.undeclared):
        if made is not None and made.get(key) != config[key]:
            raise UserError(
                f"{name} was made with {key} {made.get(key)!r}, but this bench has {config[key]!r}; use the bench that "
                "trained it"
            )


def checked_class(model: Any) -> type[AbstractRecommender]:
    """Return the model class that a script passed, or named.

    Raises:
        UserError: there is no model of this name, or ``model`` is neither a name nor a model class.
    """
    if isinstance(model, str):
        return get_model(model)
    if isinstance(model, type) and issubclass(model, AbstractRecommender):
        return model
    raise UserError(f"model should be the name of a model, like 'BPR', or a class of models, not {model!r}")


def check_used(config: Config, given: Mapping[str, Any]) -> None:
    """Check that no setting asks for something that only the command-line programs do, such as ensembles.

    These are the settings listed in ``properties/deciding.yaml`` under ``of_programs`` and ``of_ensembles``. They may
    have their default, or a value that asks for nothing, such as False. For those in files a warning is logged.

    Args:
        config: all settings.
        given: the settings that the script passed, name to value.

    Raises:
        UserError: there is such a setting in ``given``.
    """
    defaults = packaged("overall.yaml").values
    for key in sorted((marked("of_programs") | marked("of_ensembles")) & config.asked.keys()):
        if config[key] and config[key] != defaults[key]:
            told = f"the Python interface does not use {key}, which is for run_recbole.py and unlearn.py"
            if key in given:
                raise UserError(f"{told}; leave it out, or use these programs")
            logger.warning("%s: %s", config.where(key), told)
