"""Command lines that generate a missing file, for messages to the user."""

import shlex
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.config.layers import PROPERTIES, merge, packaged_layers
from recbole.generators.imitation import same_filter
from recbole.generators.usual_filters import EVERYTHING, USUAL_FILTERS

_FORM = ("USER_ID_FIELD", "ITEM_ID_FIELD", "RATING_FIELD", "TIME_FIELD", "field_separator", "NEXT_BASKET_JSON")
_BY_NUMBER = ("tafeng",)  # data sets whose subsets may be given as a number of users


def clean_file(config: Config, task_type: str) -> Path:
    """Return the path of the data set's file of interactions (CF, SBR) or baskets (NBR), without spam.

    It reads the settings ``data_path``, ``dataset`` and ``NEXT_BASKET_JSON``.
    """
    folder, dataset = Path(config["data_path"]), config["dataset"]
    baskets = config["NEXT_BASKET_JSON"] or f"{dataset}_merged.json"
    return folder / (baskets if task_type == "NBR" else f"{dataset}.inter")


def making_command(config: Config, task_type: str, **flags: Any) -> str:
    """Return the command line of make_forget_set.py that generates a file which a run needs.

    It includes the run's configuration files if one of them describes the format of the data.

    Args:
        config: the run's `Config`; its ``data_path`` is the data set's own folder.
        task_type: ``CF``, ``SBR`` or ``NBR``; the command includes it only if the folder has data for two tasks.
        flags: further flags, name to value; True for a flag without value.
    """
    folder = Path(config["data_path"])
    where: dict[str, Any] = {}
    if folder.parent != Path("dataset"):
        where["data_path"] = folder.parent
    if clean_file(config, "NBR").is_file() and clean_file(config, "CF").is_file():
        where["task_type"] = task_type
    if _needs_files(config):
        where["config_files"] = config.files
    words = ["python make_forget_set.py"]
    for flag, value in {"dataset": config["dataset"], **where, **flags}.items():
        values = [] if value is True else value if isinstance(value, list) else [value]
        words += [f"--{flag}", *(shlex.quote(str(each)) for each in values)]
    return " ".join(words)


def _needs_files(config: Config) -> bool:
    """Return whether a configuration file of the run sets column names, the separator or the file of baskets.

    Values that equal the data set's packaged settings do not count, because make_forget_set.py uses those anyway.
    """
    known, _ = merge(packaged_layers("", config["dataset"])[0])  # without a model
    return any(config.source(key) in config.files and config[key] != known.get(key) for key in _FORM)


def own_filters(config: Config, task_type: str) -> dict[str, Any]:
    """Return the run's filters of users and items that make_forget_set.py has flags for: dict from setting to value."""
    return {key: EVERYTHING if config[key] is None else config[key] for key in USUAL_FILTERS[task_type]}


def filter_flags(config: Config, task_type: str) -> dict[str, Any]:
    """Return the filters of users and items that the command from `making_command` must contain as flags.

    These are the filters of `own_filters` that differ from the defaults of make_forget_set.py. If the command contains
    the run's configuration files, which may change the defaults, these are all of them.
    """
    usual, files = USUAL_FILTERS[task_type], _needs_files(config)
    own = own_filters(config, task_type)
    return {key: value for key, value in own.items() if files or not same_filter(key, value, usual[key])}


def prepared_datasets() -> list[str]:
    """Return the names of the data sets that come with the program (each has a prepare.py), sorted."""
    return sorted(path.stem for path in (PROPERTIES / "dataset").glob("*.yaml"))


def preparing_command(dataset: str) -> str | None:
    """Return the command line that prepares a data set, or None if the program has no script for it.

    ``dataset`` may also be the name of a subset: ``<name>_test``, or for Ta-Feng ``<name>_<number of users>``.
    """
    name, _, part = dataset.rpartition("_")
    known = prepared_datasets()
    if dataset in known:
        return _prepare(dataset)
    if name in known and part == "test":
        return f"{_prepare(name)} --subset 0.01"
    if name in _BY_NUMBER and part.isdecimal():
        return f"{_prepare(name)} --subset {part}"
    return None


def _prepare(name: str) -> str:
    """Return the command that prepares a data set: its script in a checkout, otherwise the installed command."""
    script = f"dataset/{name}/prepare.py"
    return f"python {script}" if Path(script).is_file() else f"erase-bench prepare {name}"
