"""The log's columns other than user and item, as RecBole passes them to models: filled, labelled and scaled."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from recbole.utils import UserError, suggest

if TYPE_CHECKING:
    from recbole.config import Config
    from recbole.data.log import InteractionLog

logger = logging.getLogger("recbole")


def shown_columns(config: Config, log: InteractionLog) -> dict[str, np.ndarray]:
    """Return a dict from the name of each column other than user and item to its values [len(log)].

    A missing number becomes the mean of its column. The setting ``threshold``, such as ``{rating: 4}``, adds the label
    column (float32): 1 where the number is at least the threshold, else 0. ``normalize_all`` and ``normalize_field``
    scale numbers to [0, 1]. A column without such changes is the log's own array, not a copy.

    Raises:
        UserError: ``threshold`` names several columns.
    """
    columns = {name: filled(values) for name, values in log.columns.items()}
    columns |= _label(config, columns)
    scaled = scaled_fields(config, [name for name in columns if name not in log.vocabulary])
    return columns | {name: scale(columns[name], name) for name in scaled if name in columns}


def filled(values: np.ndarray) -> np.ndarray:
    """Return numbers [n] with NaN replaced by the mean of the others; if there is no NaN, the same array."""
    if values.dtype.kind != "f" or not np.isnan(values).any():
        return values
    known = values[~np.isnan(values)]
    return np.where(np.isnan(values), known.mean() if len(known) else 0.0, values)


def _label(config: Config, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a dict with the label column that the setting ``threshold`` defines; an empty dict if there is none."""
    threshold = config.get("threshold")
    if not isinstance(threshold, dict):
        return {}
    if len(threshold) != 1:
        raise UserError(f"threshold should name one column, like {{rating: 4}}, not {threshold!r}")
    name, value = next(iter(threshold.items()))
    if name not in columns:  # ERASE's configurations set it also where they load no such column
        logger.info("threshold: column '%s' is not loaded, so no label column is made%s", name, suggest(name, columns))
        return {}
    return {str(config["LABEL_FIELD"]): (columns[name] >= value).astype(np.float32)}


def scaled_fields(config: Config, numbers: Collection[str]) -> list[str]:
    """Return the names among ``numbers`` (numeric columns) that ``normalize_all`` or ``normalize_field`` scales."""
    if config["normalize_field"]:
        return [name for name in numbers if name in config["normalize_field"]]
    return list(numbers) if config["normalize_all"] else []


def scale(values: np.ndarray, name: str) -> np.ndarray:
    """Return numbers [n] scaled to [0, 1], float64; if all are equal, return ones and log a warning."""
    low, high = (values.min(), values.max()) if len(values) else (0, 0)
    if low == high:
        logger.warning("all values of column '%s' are equal: they are all scaled to 1", name)
        return np.ones(len(values))
    return (values - low) / (high - low)
