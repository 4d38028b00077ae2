"""Compares sizes in the settings with the number of items, once the data are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from recbole.utils import UserError

if TYPE_CHECKING:
    from recbole.config import Config

SMALL = 1000
"""Number of listed items, candidates or negatives that is allowed even if there are fewer items."""


def check_sizes(config: Config, n_items: int) -> None:
    """Check that the numbers of listed items, sampled candidates and negatives are at most that of all items.

    Larger numbers take time and memory without limit, and say nothing that all items would not say. Numbers up to
    :data:`SMALL` are allowed for all data, so that one configuration file serves small data too.

    Args:
        config: the settings, whose types are already checked.
        n_items: the number of items in the data.

    Raises:
        UserError: ``topk``, the length in ``valid_metric``, the number N of the modes uniN and popN, or ``sample_num``
            is above both.
    """
    given = config.as_dict()  # so that this check does not count as use of the settings
    negatives, modes = given["train_neg_sample_args"] or {"sample_num": 0}, given["eval_args"]["mode"]
    sizes = [
        *(("topk", "topk", k) for k in given["topk"]),
        ("valid_metric", "valid_metric", _number(given["valid_metric"])),
        *(("eval_args", f"eval_args mode of {part}", _number(modes[part])) for part in ("valid", "test")),
        ("train_neg_sample_args", "train_neg_sample_args sample_num", negatives["sample_num"]),
    ]
    most = max(n_items, SMALL)
    for key, told, size in sizes:
        if size > most:
            raise UserError(
                f"{told} ({config.where(key)}) should be at most {most}, not {size}: there are {n_items} items"
            )


def _number(text: str) -> int:
    """Return the number at the end of a text such as ``Recall@10`` or ``uni100``; 0 if there is none."""
    digits = re.search(r"[0-9]+$", text)
    return int(digits[0]) if digits else 0
