"""Finding the spam attack that a run is about, and seeing that it is the one that was asked for."""

from dataclasses import dataclass
from pathlib import Path

from recbole.scenario.names import fraud_metadata_name, fraud_name
from recbole.scenario.raw_log import read_json
from recbole.utils import UserError, sha256_of_file


@dataclass(frozen=True)
class Attack:
    """A spam attack on disk.

    Attributes:
        path: the file of the fake interactions.
        sha256: of its bytes.
        target_items: tokens of the promoted items.
    """

    path: Path
    sha256: str
    target_items: list[str]


def find_attack(config, task_type):
    """Return the attack that a run with ``--spam`` is about.

    Args:
        config: reads ``dataset``, ``data_path``, ``unlearning_fraction``, ``unlearn_sample_selection_seed``,
            ``n_target_items`` and ``NEXT_BASKET_JSON``.
        task_type: ``CF``, ``SBR`` or ``NBR``.

    Raises:
        UserError: a file is missing, or does not fit the run, its description or the clean data; with the command that
            makes it.
    """
    folder, dataset = Path(config["data_path"]), config["dataset"]
    draw = config["unlearning_fraction"], config["unlearn_sample_selection_seed"]
    path, described = folder / fraud_name(dataset, task_type, *draw), folder / fraud_metadata_name(dataset, *draw)
    command = _command(config, task_type)
    for needed in (path, described):
        if not needed.is_file():
            raise UserError(f"there is no {needed}; make it with: {command}")
    told = read_json(described, dict)
    targets = told.get("target_items")
    if not isinstance(targets, list) or not targets or not all(isinstance(item, (str, int)) for item in targets):
        raise UserError(f"{described}: target_items should list items; make it anew with: {command} --overwrite")
    if len(targets) != config["n_target_items"] or told.get("n_target_items", len(targets)) != len(targets):
        raise UserError(
            f"{described}: the spam promotes {len(targets)} items, the run is about {config['n_target_items']} "
            f"(n_target_items); make it anew with: {command} --overwrite"
        )
    for key, file in (("artifact_sha256", path), ("source_sha256", _source(config, task_type))):
        if key in told and (not file.is_file() or told[key] != sha256_of_file(file)):
            raise UserError(f"{described}: {key} is not that of {file}; make it anew with: {command} --overwrite")
    return Attack(path, sha256_of_file(path), [str(item) for item in targets])


def _source(config, task_type):
    """Return the file of the clean data."""
    folder, dataset = Path(config["data_path"]), config["dataset"]
    baskets = config["NEXT_BASKET_JSON"] or f"{dataset}_merged.json"
    return folder / (baskets if task_type == "NBR" else f"{dataset}.inter")


def _command(config, task_type):
    """Return the command line that makes the attack."""
    folder = Path(config["data_path"])
    words = ["python make_forget_set.py", f"--dataset {config['dataset']}"]
    if folder.parent != Path("dataset"):
        words.append(f"--data_path {folder.parent}")
    if _source(config, "NBR").is_file() and _source(config, "CF").is_file():
        words.append(f"--task_type {task_type}")
    words.append(f"--spam --unlearning_fraction {config['unlearning_fraction']}")
    words.append(f"--n_target_items {config['n_target_items']} --seed {config['unlearn_sample_selection_seed']}")
    return " ".join(words)
