"""The program ``erase-bench attack``: measures how well attackers infer a user attribute from a model file."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.utils import OneLineParser, UserError, not_empty, write_json
from recbole.utils.ending import ended

if TYPE_CHECKING:
    from recbole.audit.attack import AttackSettings
    from recbole.audit.audited import Audited
    from recbole.evaluator.kinds import Row
    from recbole.quick_start.setup import Setup
    from recbole.trainer.state import State
    from recbole.trainer.stored import Stored

_PROTOCOLS = ("inside", "outside", "outside_reversed", "insider_10", "insider_25", "insider_50", "who")
_ATTACKERS = ("logistic", "trees", "mlp", "xgboost")
_USUAL = 3
"""By default, only so many protocols and attackers are used: the first ones of the two tuples above."""

_REFERENCES = ("history", "untrained", "shuffled")
_PERMUTATIONS = 200


def main(argv: Sequence[str] | None = None, prog: str = "erase-bench attack") -> int:
    """Run the program: attack the model in a checkpoint file, and print how well each attacker infers the attribute.

    Args:
        argv: the command-line arguments; None for those of the process.
        prog: the program's name in messages.

    Returns:
        The exit status: 0; 2 after a user error, which is printed in one line; 128 plus the number of a signal.
    """
    return ended(prog, lambda: _attack(_parser(prog).parse_args(argv)), "each file is complete or unchanged")


def _parser(prog: str) -> OneLineParser:
    parser = OneLineParser(
        prog=prog,
        description="Measure how well attackers infer a user attribute from a trained model: from its user embeddings "
        "and from the lists that it recommends. docs/attack.md explains the protocols, the attackers and the numbers.",
    )
    add = parser.add_argument
    add("checkpoint", nargs="?", type=not_empty, help="the model's checkpoint file")
    add("--attack_config", type=not_empty, metavar="JSON",
        help="a configuration file of PoT-AU's attack.py, instead of a checkpoint")  # fmt: skip
    add("--attribute", default="gender", help="the user attribute to infer (default: gender)")
    add("--protected_of", type=not_empty, metavar="CHECKPOINT", help="an unlearned model; the users that it protects "
        "count as protected (default: for an unlearned model its own, otherwise all users)")  # fmt: skip
    add("--protocols", nargs="+", choices=(*_PROTOCOLS, "all"), metavar="P", default=_PROTOCOLS[:_USUAL],
        help=f"some of {', '.join(_PROTOCOLS)}, or all (default: {' '.join(_PROTOCOLS[:_USUAL])})")  # fmt: skip
    add("--attackers", nargs="+", choices=_ATTACKERS, metavar="A", default=_ATTACKERS[:_USUAL],
        help=f"some of {', '.join(_ATTACKERS)} (default: {' '.join(_ATTACKERS[:_USUAL])})")  # fmt: skip
    add("--views", nargs="+", metavar="V",
        help="the features to attack (default: the model's user views, and its recommended lists)")  # fmt: skip
    add("--references", nargs="*", choices=_REFERENCES, metavar="R", default=_REFERENCES[:2],
        help="baselines to compare with: history (the users' training rows instead of a model), untrained (the model "
        "before training), shuffled (attribute values permuted among the users: pure chance; takes minutes) "
        "(default: history untrained)")  # fmt: skip
    add("--permutations", type=_count, default=_PERMUTATIONS, help="permutations for the reference 'shuffled' with "
        f"logistic regression; other attackers use a tenth of it (default: {_PERMUTATIONS})")  # fmt: skip
    add("--attack_seeds", type=_count, default=5, help="how often the users are divided into folds (default: 5)")
    add("--folds", type=_folds, default=5, help="number of folds of users for cross-validation (default: 5)")
    add("--no_chosen", action="store_true",
        help="do not select the attackers 'worst' and 'adaptive'; takes a quarter of the time")  # fmt: skip
    add("--unbalanced", action="store_true",
        help="attack all users, weighted by group, instead of equally many users of each group")  # fmt: skip
    add("--data_path", type=not_empty, help="folder of the data sets (default: the checkpoint's)")
    add("--device", type=not_empty, help="cpu or cuda:N (default: the device of the checkpoint's settings)")
    add("--result_file", type=not_empty, help="also write the results to this JSON file")
    add("--csv", type=not_empty, help="also write the result rows to this .csv file")
    return parser


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"should be 1 or more, not {text}")
    return int(text)


def _folds(text: str) -> int:
    if int(text) < 2:
        raise argparse.ArgumentTypeError(f"should be 2 or more, not {text}")
    return int(text)


def _attack(args: argparse.Namespace) -> int:
    """Attack the model, write the requested files, then print the results; return the exit status."""
    from recbole.audit.attack import AttackSettings
    from recbole.audit.attackers import check_installed
    from recbole.config.checks import check_part_of_names
    from recbole.quick_start.attack_config import check_described, read_attack_config
    from recbole.quick_start.attack_told import notes
    from recbole.quick_start.attacks import audited_in
    from recbole.quick_start.opened import setup_of, state_of
    from recbole.report.attacks import as_table
    from recbole.trainer.stored import Stored

    if (args.checkpoint is None) == (args.attack_config is None):
        raise UserError("give either a checkpoint or an --attack_config that names one, not both")
    check_part_of_names({"attribute": args.attribute}, lambda _: "command line")
    protocols = _PROTOCOLS if "all" in args.protocols else tuple(dict.fromkeys(args.protocols))
    attackers = tuple(dict.fromkeys(args.attackers))
    settings = AttackSettings(
        protocols, attackers, args.attack_seeds, args.folds, not args.unbalanced, not args.no_chosen
    )
    check_installed(settings.attackers)
    from_file = {} if args.attack_config is None else read_attack_config(Path(args.attack_config))
    path = Path(args.checkpoint or from_file["checkpoint"])
    _check_outputs(args, path.parent)
    stored = Stored.read(path)
    if args.attack_config is not None:
        check_described(Path(args.attack_config), stored)
    setup = setup_of(stored, args.data_path or from_file.get("data_path"), args.device or from_file.get("device"), True)
    state, of = state_of(setup, stored), (setup, stored)
    if args.protected_of is not None:
        other = Stored.read(Path(args.protected_of))
        of = setup_of(other, args.data_path or from_file.get("data_path"), "cpu", True), other
    audited = audited_in(of[0], state_of(*of), args.attribute)
    print(f"{path}: {audited}")
    begun = time.process_time()
    rows = _rows(args, setup, state, stored, audited, settings)
    seconds = time.process_time() - begun
    _write(args, path, audited, settings, rows, seconds)
    print(as_table(rows))
    print("\n".join(["", *notes(rows, audited.people, settings)]))
    return 0


def _check_outputs(args: argparse.Namespace, saved: Path) -> None:
    """Check that the files of ``--result_file`` and ``--csv`` can be written; ``saved`` is the checkpoint's folder.

    Raises:
        UserError: they are the same file; or one exists and has other content than this program's, or cannot be
            written.
    """
    from recbole.evaluator.table import COLUMNS
    from recbole.quick_start.record import check_result_file
    from recbole.report.tables import check_own_table

    if args.result_file:
        check_result_file(args.result_file, saved, begins=r'\{\s*"kind": "attack"', what="result of attacks")
    if args.csv:
        check_own_table(args.csv, [",".join(COLUMNS)])
    if args.result_file and args.csv and Path(args.result_file).resolve() == Path(args.csv).resolve():
        raise UserError(f"--result_file and --csv both name {args.csv}: give each its own file")


def _rows(
    args: argparse.Namespace, setup: Setup, state: State, stored: Stored, audited: Audited, settings: AttackSettings
) -> list[Row]:
    """Attack a model and the baselines that ``--references`` names, and return rows of the result table.

    Args:
        args: the command line.
        setup: settings and data of the run that made the checkpoint.
        state: which interactions the model has forgotten, and its file.
        stored: the content of the checkpoint file.
        audited: the attribute to infer, and the users whose attribute was to be unlearned.
        settings: protocols, attackers and folds.
    """
    from dataclasses import replace

    from recbole.audit.attack import shuffled
    from recbole.audit.audited import views_of
    from recbole.audit.features import HISTORY, history
    from recbole.evaluator.table import Table
    from recbole.trainer.learn import load, new_model

    about = setup.about(stored.identity, version=stored.version)
    algorithm = (stored.settings or {}).get("algorithm")
    table = Table(**about, model=state.kind, algorithm=algorithm, checkpoint=state.checkpoint)
    views = views_of(load(setup, state, stored), state.data, args.views)
    table.extend(audited.rows(views, settings))
    inside = replace(settings, protocols=("inside",), choose=False)
    if "shuffled" in args.references:
        table.extend(audited.named(shuffled(views, audited.people, settings, args.permutations)))
    if "history" in args.references:
        table.extend(audited.rows({HISTORY: history(state.data)}, inside))
    if "untrained" in args.references:
        untrained = new_model(setup, setup.base())
        before = Table(**about, model="untrained")
        before.extend(audited.rows(views_of(untrained, setup.dataset, args.views), inside))
        table.extend(before.rows)
    return table.rows


def _write(
    args: argparse.Namespace, path: Path, audited: Audited, settings: AttackSettings, rows: list[Row], seconds: float
) -> None:
    from dataclasses import asdict

    if args.result_file:
        record: dict[str, Any] = {
            "kind": "attack", "checkpoint": str(path), "attribute": audited.attribute.name,
            "groups": audited.sizes(), "protected": audited.n_protected, "settings": asdict(settings),
            "cpu_seconds": seconds, "metrics": rows,
        }  # fmt: skip
        write_json(args.result_file, record)
    if args.csv:
        import pandas as pd

        from recbole.report.tables import write_csv

        write_csv(pd.DataFrame(rows), args.csv)
