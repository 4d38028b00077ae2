"""The program that makes what the others forget: sets of sensitive interactions, and spam."""

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from shlex import join, quote

from recbole.config import Config
from recbole.config.derived import SPAM_FRACTION
from recbole.config.rules import SEED
from recbole.data.atomic import read_header
from recbole.generators.artefact_names import forget_set_names, sensitive_method
from recbole.generators.commands import prepared_datasets, preparing_command
from recbole.generators.forget_set import RULES, generate
from recbole.generators.imitation import INTERVALS, SESSION_FIELD, USUAL_FILTERS, CleanBaskets, CleanInteractions
from recbole.generators.raw_log import BasketLog, InteractionLog
from recbole.generators.sensitive_lists import list_categories, read_sensitive_items
from recbole.generators.spam_writer import SpamWriter
from recbole.quick_start.flags import TASKS, Flag
from recbole.utils import OneLineParser, UserError, sha256_of_file, suggest

_NO_MODEL = "none"
_MIN_BASKETS = "MIN_NBR_BASKET_COUNT"
_SETTINGS = ("data_path", "task_type", *INTERVALS, _MIN_BASKETS)
_ABOUT = """Make the file that says what is to be forgotten, from a prepared data set.

Sensitive scenario: people who interacted with sensitive items are shuffled, and each asks for all of those interactions
to be forgotten, until a share of the log is reached. It needs the category's list of items, sensitive_asins_<C>.txt,
which the data set's prepare.py writes; prepare.py also draws the usual forget sets, this program draws others.

Spam scenario: fake users, sessions or baskets that promote unpopular items among popular ones (a bandwagon attack).
Training adds them, unlearning removes them. The clean data stay as they are.

The files go into the data set's folder, under the names that the other programs look for."""
_EXAMPLES = """examples:
  # the data come first
  python dataset/ml-100k/prepare.py
  # who asks to forget what about horror: three draws of a thousandth of the log
  python make_forget_set.py --dataset ml-100k --sensitive_category horror --unlearning_fraction 0.001 --seed 2 3 5
  # fake users, 1 % of all, who promote ten items
  python make_forget_set.py --dataset ml-100k --spam --unlearning_fraction 0.01 --n_target_items 10 --seed 2

what is written, in <data_path>/<dataset>, d being the dataset, C the category, s the seed, f the share:
  d_unlearn_pairs_sensitive_category_C_seed_s_unlearning_fraction_f.inter   rows to forget (NBR: .json, users)
  d_fraud_sessions_bandwagon_unpopular_ratio_f_seed_s.inter                 fake rows (NBR: fraud_baskets, .json)
  d_fraud_metadata_bandwagon_unpopular_ratio_f_seed_s.json                  what is promoted, counts, checksums

what comes next: run_recbole.py trains and retrains, unlearn.py forgets, with the same --dataset, --sensitive_category
(or --spam and --n_target_items), --unlearning_fraction and --seed; the report ends with the commands. docs/scenarios.md
says how it is drawn. Exit status: 0 done, 2 a mistake that you can mend (one line says how; nothing is written)."""

_FLAGS = {
    "the data": (
        Flag("dataset", str, "folder under data_path", short="d"),
        Flag("data_path", str, "folder of the data sets (default: dataset)"),
        Flag(
            "task_type", str, "task (default: NBR with <d>_merged.json, SBR with a session_id, else CF)", choices=TASKS
        ),
        Flag("config_files", str, "YAML files, for columns under other names and the run's own filters", nargs="+"),
        Flag(_MIN_BASKETS, int, f"NBR: users with fewer are left out (default: {USUAL_FILTERS['NBR'][_MIN_BASKETS]})"),
    ),
    "how much, and which draw": (
        Flag("unlearning_fraction", float, "shares of the log, or of spam (default: 0.01 with --spam)", nargs="+"),
        Flag("seed", int, "which draws (default: 2)", nargs="+"),
    ),
    "sensitive scenario": (
        Flag("sensitive_category", str, "categories, such as horror; 'all': each that has a list", nargs="+"),
        Flag(
            "rating_threshold", float, "ask only for interactions rated so or better, as ERASE does (default: for all)"
        ),
        Flag(
            "stopping_rule",
            str,
            "the person who would exceed the share is taken A: if that comes closer to it, B: always "
            "(default: A for CF, else B)",
            choices=("A", "B"),
        ),
    ),
    "spam scenario": (
        Flag("spam", bool, "make spam instead of a forget set"),
        Flag("n_target_items", int, "items that the spammer promotes (default: 10)"),
        *(
            Flag(key, str, f"the run's own filter, for items that it keeps (default: {usual} for CF)")
            for key, usual in USUAL_FILTERS["CF"].items()
        ),
        Flag("overwrite", bool, "replace spam that was made with another number of items or from other data"),
    ),
}


def make_forget_sets(argv):
    """Run the program.

    Args:
        argv: list of arguments, without the program's name.

    Raises:
        UserError: before anything is written, for anything in the files or arguments that cannot be.
        SystemExit: as argparse does.
    """
    asked = _arguments(argv)
    source = _find(asked)
    if asked.spam:
        _make_spam(asked, source)
    else:
        _make_sensitive(asked, source)


def _arguments(argv):
    parser = OneLineParser(
        prog="make_forget_set.py",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for title, members in _FLAGS.items():
        group = parser.add_argument_group(title)
        for flag in members:
            flag.add_to(group)
    asked = parser.parse_args(argv)
    if asked.dataset is None:
        raise UserError("say which data: --dataset, such as ml-100k")
    if bool(asked.spam) == bool(asked.sensitive_category):
        raise UserError("say what is to be forgotten: either --sensitive_category, such as horror, or --spam")
    others = "sensitive scenario" if asked.spam else "spam scenario"
    stray = [flag.name for flag in _FLAGS[others] if not _absent(getattr(asked, flag.name))]
    if stray:
        raise UserError(f"--{stray[0]} belongs to the {others}, which was not asked for")
    return asked


def _absent(value):
    return value is None or value is False


@dataclass(frozen=True)
class _Source:
    """The clean data: the file, its task, the settings that name its columns, and how to draw from it."""

    path: Path
    task: str
    config: Config
    fractions: list
    seeds: list


def _find(asked):
    """Return where the clean data are, what is asked of them, and the settings of the sensitive scenario's columns."""
    given = {key: getattr(asked, key) for key in _SETTINGS if getattr(asked, key) is not None}
    own = {"use_gpu": False, "spam": False, "forget_set": None}
    config = Config(_NO_MODEL, asked.dataset, asked.config_files, command_line={**given, **own})
    fraction = config["unlearning_fraction"] or (SPAM_FRACTION if asked.spam else None)
    fractions = asked.unlearning_fraction or [fraction]
    if fractions == [None]:
        raise UserError("say how much is to be forgotten: --unlearning_fraction, such as 0.001")
    seeds = asked.seed or [config["unlearn_sample_selection_seed"]]
    bad = [seed for seed in seeds if not SEED.meets(seed)]
    if bad:
        raise UserError(f"--seed should be {SEED.told}, not {bad[0]}")
    return _Source(*_file_and_task(config), config, _once(fractions), _once(seeds))


def _once(values):
    return list(dict.fromkeys(values))


def _file_and_task(config):
    """Return the file of the clean data and its task: as said, or as the files say.

    Raises:
        UserError: there is no file, or one of each kind and nothing that decides.
    """
    folder, dataset, task = Path(config["data_path"]), config["dataset"], config["task_type"]
    inter, baskets = folder / f"{dataset}.inter", folder / (config["NEXT_BASKET_JSON"] or f"{dataset}_merged.json")
    there = [path for path in (inter, baskets) if path.is_file()]
    if task is None and len(there) == 2:
        raise UserError(f"{folder} has {inter.name} and {baskets.name}: say which is meant with --task_type")
    wanted = [inter, baskets] if task is None else [baskets if task == "NBR" else inter]
    found = [path for path in wanted if path in there]
    if not found:
        raise UserError(_missing(wanted, there, dataset))
    return found[0], task or _task_of(found[0], config)


def _task_of(path, config):
    if path.suffix == ".json":
        return "NBR"
    return "SBR" if SESSION_FIELD in read_header(path, config["field_separator"]) else "CF"


def _missing(wanted, there, dataset):
    """Return what to say when none of the ``wanted`` files is there, but perhaps one of another task."""
    known, command = prepared_datasets(), preparing_command(dataset)
    looked = f"looked for {' and '.join(map(str, wanted))}"
    if there:
        return f"{looked}, found only {there[0]}; leave --task_type away to take that"
    if command:
        return f"{looked}; '{command}' makes it"
    folder = wanted[0].parent
    if folder.is_dir():
        return f"{folder} has no data: {looked}; 'python dataset/<name>/prepare.py' makes {', '.join(known)}"
    prepared = [path.name for path in folder.parent.glob("*") if path.is_dir()]
    hint = suggest(dataset, [*prepared, *known]) or f"; 'python dataset/<name>/prepare.py' makes {', '.join(known)}"
    return f"there is no data set '{dataset}': {looked}{hint}"


def _make_sensitive(asked, source):
    bad = [fraction for fraction in source.fractions if not 0 < fraction <= 1]
    if bad:
        raise UserError(f"--unlearning_fraction must be between 0 and 1, not {bad[0]}")
    folder, dataset = Path(source.config["data_path"]), source.config["dataset"]
    categories = _categories(folder, asked.sensitive_category)
    lists = {category: read_sensitive_items(folder, category) for category in categories}
    names = {
        (category, seed, fraction): _free_name(source, sensitive_method(category), seed, fraction)
        for category, seed, fraction in product(categories, source.seeds, source.fractions)
    }
    log = _raw_log(source)
    sensitive = {category: log.sensitive(items, asked.rating_threshold) for category, items in lists.items()}
    for category, rows in sensitive.items():
        if not rows.any():
            raise UserError(f"{source.path}: no interaction with an item of '{category}' can be asked for")
    rule = asked.stopping_rule or RULES[source.task]
    filled = []
    print(f"{dataset} ({source.task}): {log.n_total:,} interactions in {source.path}; stopping rule {rule}")
    for category, rows in sensitive.items():
        print(f"\n{category}: {len(lists[category]):,} items listed, {rows.sum():,} interactions may be asked for")
        print(f"{'seed':>6}{'fraction':>10}{'requests':>10}{'interactions':>14}{'items':>8}{'reached':>10}  file")
        for seed in source.seeds:
            for fraction in source.fractions:
                name = names[category, seed, fraction]
                before = sha256_of_file(folder / name) if (folder / name).is_file() else None
                made = generate(log, rows, folder / name, seed, fraction, rule)
                numbers = f"{made['users']:>10,}{made['rows']:>14,}{made['items']:>8,}{made['achieved']:>10.2g}"
                print(f"{seed:>6}{fraction:>10}{numbers}  {name}{_news(made, before, folder / name)}")
                filled += [(category, fraction, seed)] if made["rows"] else []
    if filled:
        category, *draw = filled[0]
        _tell_next(asked, source, f"--sensitive_category {quote(category)}", *draw)


def _free_name(source, method, seed, fraction):
    """Return the name of a set to write; a run would not know which to read if there were one in another format."""
    folder, dataset = Path(source.config["data_path"]), source.config["dataset"]
    name, *others = forget_set_names(dataset, method, seed, fraction, source.task)
    for other in others:
        if (folder / other).exists():
            raise UserError(f"{folder / other} is there, and would be read as the same set as {name}: move it away")
    return name


def _categories(folder, asked):
    if asked != ["all"]:
        return _once(asked)
    found = list_categories(folder)
    if not found:
        raise UserError(f"there is no list of sensitive items (sensitive_asins_<category>.txt) in {folder}")
    return found


def _raw_log(source):
    config = source.config
    if source.task == "NBR":
        return BasketLog(source.path, config["MIN_NBR_BASKET_COUNT"])
    fields = [config[key] for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "RATING_FIELD", "field_separator")]
    return InteractionLog(source.path, *fields, config["min_sensitive"] or 0, config["min_remaining"] or 0)


def _news(made, before, path):
    if not made["rows"]:
        return " (EMPTY: one person alone is more than twice the share; take a larger one)"
    return "" if before is None else " (as it was)" if before == sha256_of_file(path) else " (REPLACES another draw)"


def _make_spam(asked, source):
    n_targets = source.config["n_target_items"] if asked.n_target_items is None else asked.n_target_items
    writer = SpamWriter(_clean_log(source), source.config["data_path"], source.config["dataset"])
    draws = [(fraction, seed) for seed in source.seeds for fraction in source.fractions]
    for draw in draws:
        writer.check(*draw, n_targets, asked.overwrite)
    clean = writer.clean
    counted = f"{clean.n_profiles:,} {clean.kind}, {clean.n_rows:,} interactions, {len(clean.tokens):,} items"
    print(f"{source.config['dataset']} ({source.task}): {counted} in {source.path}")
    for fraction, seed in draws:
        made = writer.write(fraction, seed, n_targets)
        share = made["fake"] / (made["fake"] + made["real"])
        print(
            f"\nseed {seed}, share {fraction}: {made['fake']:,} fake {clean.kind} ({share:.2%} of all with them), "
            f"{made['rows']:,} interactions with {made['items']:,} items, {made['target_rows']:,} of them with the "
            f"{len(made['targets'])} promoted\n  promoted: {' '.join(made['targets'])}"
        )
        for path in made["paths"]:
            print(f"  wrote {path}")
    _tell_next(asked, source, f"--spam --n_target_items {n_targets}", *draws[0], trains=True)


def _clean_log(source):
    config = source.config
    if source.task == "NBR":
        return CleanBaskets(source.path, config["MIN_NBR_BASKET_COUNT"])
    keys = ("USER_ID_FIELD", "ITEM_ID_FIELD", "RATING_FIELD", "TIME_FIELD", "field_separator")
    said = {key: config[key] for key in INTERVALS if config[key] and config.source(key) != "default: overall.yaml"}
    return CleanInteractions(source.path, source.task, *(config[key] for key in keys), intervals=said)


def _tell_next(asked, source, what, fraction, seed, trains=False):
    """Print the commands that use one of what was made; ``trains`` says whether training needs to know of it."""
    model = {"CF": "BPR", "SBR": "GRU4Rec", "NBR": "DNNTSP"}[source.task]
    own, usual = asked.config_files or [], f"configs/config_{model.lower()}.yaml"
    files = join(own if usual in own else [usual, *own])
    given = {key: str(getattr(asked, key)) for key in _SETTINGS if getattr(asked, key) is not None}
    settings = "".join(f" --{key} {quote(value)}" for key, value in given.items())
    common = f"--model {model} --dataset {quote(asked.dataset)} --config_files {files} --seed {seed}{settings}"
    what = f"{what} --unlearning_fraction {fraction}"
    print("\nnext, for example")
    print(f"  train    python run_recbole.py {common}{f' {what}' if trains else ''}")
    print(f"  retrain  python run_recbole.py {common} {what} --retrain_checkpoint_idx_to_match 3")
    print(f"  unlearn  python unlearn.py {common} {what} --unlearning_algorithm scif")
