"""The names of the columns of batches, and a check that they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recbole.config.field_names import Field, check_field_names

if TYPE_CHECKING:
    from recbole.data.dataset import Dataset

NUMBER = "example_number"
"""Column of a training batch: the number of the row's example, which does not change when other examples are forgotten.

:class:`~recbole.data.dataset.Given` assigns the numbers. An example with several negatives takes several rows; in its
c-th row, counted from 0, ``c * 2**40`` is added to its number.
"""

HISTORY_ITEMS = "history_item_matrix"
HISTORY_LENGTH = "history_basket_length"
BASKET_LENGTHS = "history_item_length_per_basket"
TARGET_ITEMS = "target_item_list"
TARGET_LENGTH = "target_item_length"


def check_batch_fields(data: Dataset) -> None:
    """Check that the columns of a data set's batches have different names.

    Raises:
        UserError: two columns have the same name.
    """
    check_field_names(data.config.as_dict(), data.config.where, [*_loaded(data), *_made(data)])


def _columns(data: Dataset) -> list[str]:
    """Return the names of the log's columns that batches contain, besides user and item."""
    left_out = data.task_type == "NBR" or (data.task_type == "SBR" and data.config["MODEL_TRIMS"])
    return [] if left_out else list(data.log.columns)


def _loaded(data: Dataset) -> list[Field]:
    """Return the columns of the interactions that are in batches and that no setting names."""
    named = (data.time_field, data.rating_field, data.label_field)
    return [Field(name, "a column of the interactions") for name in _columns(data) if name not in named]


def _made(data: Dataset) -> list[Field]:
    """Return the columns of batches that are not in the files, except the negative item."""
    fields = [Field(NUMBER, "the column with the examples' numbers")]
    if data.task_type == "NBR":
        names = (HISTORY_ITEMS, HISTORY_LENGTH, BASKET_LENGTHS, TARGET_ITEMS, TARGET_LENGTH)
        fields += [Field(name, "a column of the baskets") for name in names]
    if data.task_type == "SBR":
        key, suffix = "ITEM_LIST_LENGTH_FIELD", data.config["LIST_SUFFIX"]
        fields += [Field(data.config[key], key, key)]
        fields += [Field(data.iid_field + suffix, "ITEM_ID_FIELD + LIST_SUFFIX", "LIST_SUFFIX")]
        fields += [Field(name + suffix, f"{name} + LIST_SUFFIX", "LIST_SUFFIX") for name in _columns(data)]
    return fields
