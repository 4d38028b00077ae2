"""The program ``make_forget_set.py``: draws forget sets of sensitive interactions, and generates spam."""

import argparse
from pathlib import Path
from shlex import join, quote
from typing import Any

from recbole.config import Config
from recbole.config.rules import SEED
from recbole.generators.usual_filters import INTERVALS, USUAL_FILTERS
from recbole.quick_start.flags import TASKS
from recbole.scenario.base import Scenario
from recbole.scenario.known_scenarios import scenarios
from recbole.scenario.making import Made, Source, once
from recbole.utils import OneLineParser, UserError, suggest
from recbole.utils.flag import Flag

_NO_MODEL = "none"
_MIN_BASKETS = "MIN_NBR_BASKET_COUNT"
_SETTINGS = ("data_path", "task_type", *INTERVALS, _MIN_BASKETS)
_ABOUT = """Draw forget sets, or generate spam, for a prepared data set.

Sensitive scenario: users who interacted with sensitive items are shuffled. One after another, each of them submits a
request to delete all of these interactions, until a given share of the log is reached. The category's list of items,
sensitive_asins_<C>.txt, must exist; the data set's prepare.py writes it. prepare.py also draws the usual forget sets;
use this program for other seeds, shares or rules.

Spam scenario: fake users, sessions or baskets that promote unpopular items among popular ones (a bandwagon attack).
Training adds them, and unlearning removes them. The clean data are not changed.

The files are written into the data set's folder, under the names that the other programs expect."""
_EXAMPLES = """examples:
  # prepare the data first
  python dataset/ml-100k/prepare.py
  # three forget sets of horror interactions, each 0.1 % of the log
  python make_forget_set.py --dataset ml-100k --sensitive_category horror --unlearning_fraction 0.001 --seed 2 3 5
  # fake users (1 % of all users) who promote ten items
  python make_forget_set.py --dataset ml-100k --spam --unlearning_fraction 0.01 --n_target_items 10 --seed 2

files written to <data_path>/<dataset> (d: dataset, C: category, s: seed, f: share):
  d_unlearn_pairs_sensitive_category_C_seed_s_unlearning_fraction_f.inter   rows to forget (NBR: .json, users, or pairs)
  d_fraud_sessions_bandwagon_unpopular_ratio_f_seed_s.inter                 fake rows (NBR: fraud_baskets, .json)
  d_fraud_metadata_bandwagon_unpopular_ratio_f_seed_s.json                  promoted items, counts, checksums

next steps: run run_recbole.py to train and retrain and unlearn.py to unlearn, with the same --dataset,
--sensitive_category (or --spam and --n_target_items), --unlearning_fraction and --seed. The program prints these
commands at the end. docs/scenarios.md describes how forget sets and spam are drawn. Exit status: 0 success, 2 a user
error (one line explains it; nothing is written)."""

_GENERAL = {
    "the data": (
        Flag("dataset", str, "folder of the data set in data_path", short="d"),
        Flag("data_path", str, "folder of the data sets (default: dataset)"),
        Flag(
            "task_type", str, "task (default: NBR with <d>_merged.json, SBR with a session_id, else CF)", choices=TASKS
        ),
        Flag("config_files", str, "YAML files with other column names, or with filters of a run", nargs="+"),
        Flag(
            _MIN_BASKETS,
            int,
            f"NBR: leave out users with fewer baskets (default: {USUAL_FILTERS['NBR'][_MIN_BASKETS]})",
        ),
    ),
    "how much, and which draw": (
        Flag(
            "unlearning_fraction",
            float,
            "one or more shares of the log to forget, or of spam to add (default: 0.01 with --spam)",
            nargs="+",
        ),
        Flag("seed", int, "one or more random seeds, each for one draw (default: 2)", nargs="+"),
    ),
}


def make_forget_sets(argv: list[str], program: str = "make_forget_set.py") -> None:
    """Draw the forget sets or spam that the arguments describe, write the files, and print commands that use them.

    Args:
        argv: the arguments without the program's name.
        program: the program's name in help and messages.

    Raises:
        UserError: an argument or an input file is invalid; nothing has been written then.
        SystemExit: status 2 for a flag with an invalid value, 0 after ``--help``.
    """
    asked, scenario = _arguments(argv, program)
    source = _find(asked, scenario)
    made = scenario.make(asked, source)
    if made is not None:
        _tell_next(asked, source, made)


def _arguments(argv: list[str], program: str) -> tuple[argparse.Namespace, type[Scenario]]:
    parser = OneLineParser(
        prog=program,
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    makers = [cls for cls in scenarios().values() if cls.making_flags]
    for title, members in {**_GENERAL, **{f"{cls.name} scenario": cls.making_flags for cls in makers}}.items():
        group = parser.add_argument_group(title)
        for flag in members:
            flag.add_to(group)
    asked = parser.parse_args(argv)
    if asked.dataset is None:
        raise UserError("name the data set with --dataset, such as ml-100k")
    wanted = [cls for cls in makers if cls.wanted(asked)]
    if len(wanted) != 1:
        raise UserError("choose what to forget: give either --sensitive_category, such as horror, or --spam")
    for other in makers:
        stray = [flag.name for flag in other.making_flags if not _absent(getattr(asked, flag.name))]
        if stray and other is not wanted[0]:
            raise UserError(f"--{stray[0]} belongs to the {other.name} scenario, which is not the selected one")
    return asked, wanted[0]


def _absent(value: Any) -> bool:
    return value is None or value is False


def _find(asked: argparse.Namespace, scenario: type[Scenario]) -> Source:
    """Find what the program draws from: the data without spam, and the requested shares and seeds.

    Args:
        asked: the command line.
        scenario: the scenario that the command line selects, which has a default for the share to forget.

    Returns:
        The data file, its task (CF, SBR or NBR), the settings, the shares and the seeds.

    Raises:
        UserError: no share is given and the scenario has no default, a seed is invalid, or there is no data file.
    """
    given = {key: getattr(asked, key) for key in _SETTINGS if getattr(asked, key) is not None}
    own = {"use_gpu": False, "spam": False, "forget_set": None}
    config = Config(_NO_MODEL, asked.dataset, asked.config_files, command_line={**given, **own})
    fraction = config["unlearning_fraction"] or scenario.usual_fraction
    fractions = asked.unlearning_fraction or [fraction]
    if fractions == [None]:
        raise UserError("choose how much to forget with --unlearning_fraction, such as 0.001")
    seeds = asked.seed or [config["unlearn_sample_selection_seed"]]
    bad = [seed for seed in seeds if not SEED.meets(seed)]
    if bad:
        raise UserError(f"--seed should be {SEED.told}, not {bad[0]}")
    return Source(*_file_and_task(config), config, once(fractions), once(seeds))


def _file_and_task(config: Config) -> tuple[Path, str]:
    """Find the file with the data set's interactions, without spam.

    Args:
        config: the settings, of which ``data_path``, ``dataset``, ``task_type`` and ``NEXT_BASKET_JSON`` are read.

    Returns:
        The path; and the task: the setting ``task_type``, or if that is None, NBR for a .json file, SBR for an .inter
        file with a session column, and CF for other files.

    Raises:
        UserError: there is no file; or there are both an .inter and a .json file, and ``task_type`` is None.
    """
    folder, dataset, task = Path(config["data_path"]), config["dataset"], config["task_type"]
    inter, baskets = folder / f"{dataset}.inter", folder / (config["NEXT_BASKET_JSON"] or f"{dataset}_merged.json")
    there = [path for path in (inter, baskets) if path.is_file()]
    if task is None and len(there) == 2:
        raise UserError(f"{folder} has both {inter.name} and {baskets.name}: choose one with --task_type")
    wanted = [inter, baskets] if task is None else [baskets if task == "NBR" else inter]
    found = [path for path in wanted if path in there]
    if not found:
        raise UserError(_missing(wanted, there, dataset))
    return found[0], task or _task_of(found[0], config)


def _task_of(path: Path, config: Config) -> str:
    if path.suffix == ".json":
        return "NBR"
    from recbole.data.atomic_header import read_header
    from recbole.generators.imitation import SESSION_FIELD

    return "SBR" if SESSION_FIELD in read_header(path, config["field_separator"]) else "CF"


def _missing(wanted: list[Path], there: list[Path], dataset: str) -> str:
    """Return the error message for a data set whose file does not exist, with advice on how to get the file.

    Args:
        wanted: the files that were looked for, none of which exists.
        there: the data set's files for another task, which do exist; may be empty.
        dataset: the data set's name.
    """
    from recbole.generators.commands import prepared_datasets, preparing_command

    known, command = prepared_datasets(), preparing_command(dataset)
    looked = f"looked for {' and '.join(map(str, wanted))}"
    if there:
        return f"{looked}, found only {there[0]}; omit --task_type to use it"
    if command:
        return f"{looked}; '{command}' creates it"
    folder = wanted[0].parent
    if folder.is_dir():
        return f"{folder} has no data: {looked}; 'python dataset/<name>/prepare.py' prepares {', '.join(known)}"
    prepared = [path.name for path in folder.parent.glob("*") if path.is_dir()]
    hint = suggest(dataset, [*prepared, *known]) or f"; 'python dataset/<name>/prepare.py' prepares {', '.join(known)}"
    return f"there is no data set '{dataset}': {looked}{hint}"


def _tell_next(asked: argparse.Namespace, source: Source, made: Made) -> None:
    """Print example commands that train, retrain and unlearn with a forget set or spam that was written.

    Args:
        asked: the command line.
        source: the data from which the files were drawn.
        made: the forget set or spam to use in the examples.
    """
    model = {"CF": "BPR", "SBR": "GRU4Rec", "NBR": "DNNTSP"}[source.task]
    own, usual = asked.config_files or [], f"configs/config_{model.lower()}.yaml"
    files = join(own if usual in own else [usual, *own])
    given = {key: str(getattr(asked, key)) for key in _SETTINGS if getattr(asked, key) is not None}
    settings = "".join(f" --{key} {quote(value)}" for key, value in given.items())
    common = f"--model {model} --dataset {quote(asked.dataset)} --config_files {files} --seed {made.seed}{settings}"
    what = f"{made.flags} --unlearning_fraction {made.fraction}"
    print("\nnext, for example")
    print(f"  train    python run_recbole.py {common}{f' {what}' if made.trains else ''}")
    print(f"  retrain  python run_recbole.py {common} {what} --retrain_checkpoint_idx_to_match 3")
    print(f"  unlearn  python unlearn.py {common} {what} --unlearning_algorithm scif")
