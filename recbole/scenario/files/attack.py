"""Finds the files of the spam attack that a run's settings describe, and checks that they match the settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.generators.artefact_names import fraud_metadata_name, fraud_name
from recbole.generators.commands import clean_file, filter_flags, making_command, own_filters
from recbole.generators.imitation import same_filter
from recbole.utils import UserError, read_json, sha256_of_file

_OTHER_FILTERS = ("val_interval", "rm_dup_inter")


@dataclass(frozen=True)
class Attack:
    """A spam attack on disk.

    Attributes:
        path: the file of the fake interactions.
        sha256: SHA-256 of the file's bytes, in hexadecimal digits.
        target_items: tokens of the promoted items.
        remedy: end of an error message about an attack that does not fit the data after the run's filters. It says how
            to get an attack that does.
    """

    path: Path
    sha256: str
    target_items: list[str]
    remedy: str


def find_attack(config: Config, task_type: str) -> Attack:
    """Return the attack that the settings of a run with ``--spam`` describe.

    Args:
        config: the run's `Config`.
        task_type: ``CF``, ``SBR`` or ``NBR``.

    Raises:
        UserError: a file is missing, or the attack does not match the run, its metadata file or the clean data. The
            message ends with the command that makes a matching attack.
    """
    folder, dataset = Path(config["data_path"]), config["dataset"]
    draw = config["unlearning_fraction"], config["unlearn_sample_selection_seed"]
    path, described = folder / fraud_name(dataset, task_type, *draw), folder / fraud_metadata_name(dataset, *draw)
    command = _command(config, task_type)
    advice = f"make it again with: {command} --overwrite"
    for needed in (path, described):
        if not needed.is_file():
            raise UserError(f"there is no {needed}; make it with: {command}")
    metadata = read_json(described, dict)
    targets = metadata.get("target_items")
    if not isinstance(targets, list) or not targets or not all(isinstance(item, (str, int)) for item in targets):
        raise UserError(f"{described}: target_items must be a list of items; {advice}")
    if len(targets) != config["n_target_items"] or metadata.get("n_target_items", len(targets)) != len(targets):
        raise UserError(
            f"{described}: the spam promotes {len(targets)} items, but n_target_items is "
            f"{config['n_target_items']}; {advice}"
        )
    for key, file in (("artifact_sha256", path), ("source_sha256", clean_file(config, task_type))):
        if key in metadata and (not file.is_file() or metadata[key] != sha256_of_file(file)):
            raise UserError(f"{described}: {key} does not match {file}; {advice}")
    return Attack(
        path, sha256_of_file(path), [str(item) for item in targets], _remedy(config, task_type, metadata, advice)
    )


def _remedy(config: Config, task_type: str, metadata: dict[str, Any], advice: str) -> str:
    """Return the end of an error message about an attack that does not fit the data after the run's filters.

    Usually this is ``advice``, the command that makes the attack again. If that command would make the same attack,
    the cause is a filter that make_forget_set.py does not take into account, and the message names this filter.

    Args:
        config: the run's `Config`.
        task_type: ``CF``, ``SBR`` or ``NBR``.
        metadata: content of the attack's metadata file.
        advice: text that says with which command to make the attack again.
    """
    filters = own_filters(config, task_type)
    known = all(key in metadata and same_filter(key, metadata[key], value) for key, value in filters.items())
    if not known or "artifact_sha256" not in metadata or "source_sha256" not in metadata:
        return advice
    others = " or ".join(key for key in _OTHER_FILTERS if config[key]) or "others"
    return f"this spam was made for {' and '.join(filters)}; spam supports no other filters: run without {others}"


def _command(config: Config, task_type: str) -> str:
    """Return the command line that makes the attack, restricted to items that the run's filters keep."""
    return making_command(
        config,
        task_type,
        spam=True,
        unlearning_fraction=config["unlearning_fraction"],
        n_target_items=config["n_target_items"],
        **filter_flags(config, task_type),
        seed=config["unlearn_sample_selection_seed"],
    )
