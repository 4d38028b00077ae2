"""The small helpers that RecBole's users import from ``recbole.utils``."""

import datetime
import os
from collections.abc import Mapping
from pathlib import Path

COLOURS = ("black", "red", "green", "yellow", "blue", "pink", "cyan", "white")


def get_local_time() -> str:
    """Return the time as RecBole puts it into names of files, such as ``Jan-31-2026_23-59-59``."""
    return datetime.datetime.now().strftime("%b-%d-%Y_%H-%M-%S")


def ensure_dir(dir_path: str | os.PathLike[str]) -> None:
    """Make a folder, and those above it, unless it is there."""
    Path(dir_path).mkdir(parents=True, exist_ok=True)


def set_color(log: str, color: str, highlight: bool = True) -> str:
    """Return a text in a terminal's colour: one of :data:`COLOURS`, white for any other; bold if ``highlight``."""
    number = COLOURS.index(color) if color in COLOURS else len(COLOURS) - 1
    return f"\033[{int(highlight)};3{number}m{log}\033[0m"


def early_stopping(
    value: float, best: float, cur_step: int, max_step: int, bigger: bool = True
) -> tuple[float, int, bool, bool]:
    """Take one validation into account; a result as good as the best counts as better.

    Args:
        value: what was reached now.
        best: what was best so far.
        cur_step: how many validations in a row were no better.
        max_step: more of them end the training.
        bigger: whether larger values are better.

    Returns:
        What is best now, the number of validations since, whether to stop, and whether this one is the best.
    """
    if value >= best if bigger else value <= best:
        return value, 0, False, True
    return best, cur_step + 1, cur_step + 1 > max_step, False


def calculate_valid_score(valid_result: Mapping[str, float], valid_metric: str | None = None) -> float:
    """Return the value of a metric, by default of Recall@10, in a result; names are compared whatever their case.

    Raises:
        KeyError: there is no such metric.
    """
    wanted = valid_metric or "Recall@10"
    by_name = {name.lower(): value for name, value in valid_result.items()}
    if wanted.lower() not in by_name:
        raise KeyError(f"{wanted} is not among {', '.join(valid_result)}")
    return by_name[wanted.lower()]


def dict2str(result_dict: Mapping[str, float]) -> str:
    """Return a result on one line: ``name : value``, four spaces apart."""
    return "    ".join(f"{name} : {value}" for name, value in result_dict.items())
