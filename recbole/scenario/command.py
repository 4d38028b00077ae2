"""What to type: the command line of make_forget_set.py that makes a file which a run misses."""

import shlex
from pathlib import Path


def clean_file(config, task_type):
    """Return the path of the clean data; ``config`` has ``data_path``, ``dataset`` and ``NEXT_BASKET_JSON``."""
    folder, dataset = Path(config["data_path"]), config["dataset"]
    baskets = config["NEXT_BASKET_JSON"] or f"{dataset}_merged.json"
    return folder / (baskets if task_type == "NBR" else f"{dataset}.inter")


def making_command(config, task_type, **flags):
    """Return the command line that makes a file for a run.

    Args:
        config: as for `clean_file`; ``data_path`` is the data set's own folder.
        task_type: ``CF``, ``SBR`` or ``NBR``; named where the folder has data of two tasks.
        flags: what is to be made, flag to value; True for a switch.
    """
    folder, where = Path(config["data_path"]), {}
    if folder.parent != Path("dataset"):
        where["data_path"] = folder.parent
    if clean_file(config, "NBR").is_file() and clean_file(config, "CF").is_file():
        where["task_type"] = task_type
    words = ["python make_forget_set.py"]
    for flag, value in {"dataset": config["dataset"], **where, **flags}.items():
        words.append(f"--{flag}" if value is True else f"--{flag} {shlex.quote(str(value))}")
    return " ".join(words)
