"""Small helper functions that RecBole's users import from ``recbole.utils``."""

import datetime
import os
from collections.abc import Mapping
from pathlib import Path

COLOURS = ("black", "red", "green", "yellow", "blue", "pink", "cyan", "white")


def get_local_time() -> str:
    """Return the local time as in RecBole's file names, such as ``Jan-31-2026_23-59-59``."""
    return datetime.datetime.now().strftime("%b-%d-%Y_%H-%M-%S")


def ensure_dir(dir_path: str | os.PathLike[str]) -> None:
    """Create a folder and its parents, if they do not exist."""
    Path(dir_path).mkdir(parents=True, exist_ok=True)


def set_color(log: str, color: str, highlight: bool = True) -> str:
    """Return a text surrounded by the control codes that show it in a colour on a terminal.

    Args:
        log: the text.
        color: one of :data:`COLOURS`; any other name means white.
        highlight: whether the text is bold.
    """
    number = COLOURS.index(color) if color in COLOURS else len(COLOURS) - 1
    return f"\033[{int(highlight)};3{number}m{log}\033[0m"


def early_stopping(
    value: float, best: float, cur_step: int, max_step: int, bigger: bool = True
) -> tuple[float, int, bool, bool]:
    """Decide after a validation whether training should stop.

    A score that equals the best one counts as an improvement.

    Args:
        value: the score of this validation.
        best: the best score of the earlier validations.
        cur_step: the number of validations in a row without improvement, before this one.
        max_step: training should stop after more than this many validations in a row without improvement.
        bigger: whether larger scores are better.

    Returns:
        The best score, including this validation; the number of validations in a row without improvement, including
        this one; whether to stop; and whether this validation is the best so far.
    """
    if value >= best if bigger else value <= best:
        return value, 0, False, True
    return best, cur_step + 1, cur_step + 1 > max_step, False


def calculate_valid_score(valid_result: Mapping[str, float], valid_metric: str | None = None) -> float:
    """Return the value of the metric that decides about early stopping, from the metrics of a validation.

    Args:
        valid_result: dict from the name of a metric, such as ``recall@10``, to its value.
        valid_metric: the name of the wanted metric, in upper or lower case; None means Recall@10.

    Raises:
        KeyError: the result has no such metric.
    """
    wanted = valid_metric or "Recall@10"
    by_name = {name.lower(): value for name, value in valid_result.items()}
    if wanted.lower() not in by_name:
        raise KeyError(f"{wanted} is not among {', '.join(valid_result)}")
    return by_name[wanted.lower()]


def dict2str(result_dict: Mapping[str, float]) -> str:
    """Return a dict from metric to value as text on one line: ``name : value``, separated by four spaces."""
    return "    ".join(f"{name} : {value}" for name, value in result_dict.items())
