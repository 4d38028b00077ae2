"""The program ``erase-bench scan``: checks whether a saved ensemble still depends on forgotten interactions.

An ensemble consists of one model per shard (part) of the training data, so that exact unlearning retrains only some.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.utils import OneLineParser, UserError, not_empty, write_json
from recbole.utils.ending import ended

if TYPE_CHECKING:
    from recbole.config import Config
    from recbole.data.dataset import Dataset
    from recbole.trainer.stored import Stored

_CLEAN, _DEPENDS = 0, 3
_ONE_MODEL = """is not an ensemble and was not checked: it is a single model that was {how}, and its file does not show
  whether its parameters still depend on forgotten rows. Compare it with a retrained model instead."""


def main(argv: Sequence[str] | None = None, prog: str = "erase-bench scan") -> int:
    """Run the program: print which sub-models of the ensemble in a checkpoint file depend on interactions it forgot.

    Args:
        argv: the command-line arguments; None for those of the process.
        prog: the program's name in messages.

    Returns:
        The exit status: 0 if nothing depends on a forgotten interaction; 3 if something does, or if the file contains
        a single model, which cannot be checked; 2 after a user error.
    """
    return ended(prog, lambda: _scan(_parser(prog).parse_args(argv)), "nothing was changed")


def _scan(args: argparse.Namespace) -> int:
    """Check the ensemble, write the result file if ``--result_file`` is given, and return the exit status."""
    if args.result_file:
        from recbole.quick_start.record import check_result_file

        saved = Path(args.checkpoint).parent
        check_result_file(args.result_file, saved, begins=r'\{\s*"checkpoint": "', what="result of a scan")
    found = _scanned(Path(args.checkpoint), args.data_path, not args.quick)
    if args.result_file:
        write_json(args.result_file, found)
    return _CLEAN if found["clean"] else _DEPENDS


def _parser(prog: str) -> OneLineParser:
    parser = OneLineParser(
        prog=prog,
        description="Check whether an ensemble still depends on the rows that it has forgotten. Everything that is "
        "derived from the data is recomputed with other contents in the forgotten rows, and must stay the same. A "
        "single model cannot be checked this way.",
    )
    parser.add_argument("checkpoint", help="the ensemble's checkpoint file")
    parser.add_argument("--data_path", help="folder of the data sets (default: the checkpoint's)")
    parser.add_argument("--quick", action="store_true", help="do not retrain the ensemble to compare its parameters")
    parser.add_argument("--result_file", type=not_empty, help="also write the findings to this JSON file")
    return parser


def _scanned(path: Path, data_path: str | None, train: bool) -> dict[str, Any]:
    from recbole.quick_start.opened import setup_of
    from recbole.trainer.stored import Stored

    stored = Stored.read(path)
    if stored.settings is None or not (stored.content.get("config") or {}).get("ensemble"):
        kind = (stored.content.get("meta") or {}).get("kind")
        print(f"{path} {_ONE_MODEL.format(how='trained' if kind != 'unlearned' else 'changed by an algorithm')}")
        return {"checkpoint": str(path), "checked": False, "clean": False}
    setup = setup_of(stored, data_path)
    return {"checkpoint": str(path), "checked": True} | _of_ensemble(stored, setup.config, setup.dataset, train)


def _of_ensemble(stored: Stored, config: Config, dataset: Dataset, train: bool) -> dict[str, Any]:
    from recbole.ensemble.model import Ensemble
    from recbole.ensemble.partition.registry import get_partition
    from recbole.ensemble.scan import manifest, scan
    from recbole.trainer.checkpoint import load_weights
    from recbole.trainer.state import Run, State

    path, ensemble = stored.path, Ensemble(config, dataset)
    load_weights(ensemble, stored.content, path)
    shard_of, without = ensemble.shard_of.cpu().numpy(), ensemble.without.cpu().numpy()
    if State("scanned", dataset, without).mask_digest != (stored.settings or {}).get("mask"):
        raise UserError(f"{path}: its mask 'without' is not that of the rows which its settings say it has forgotten")
    print(f"{path}: {int(without.sum())} rows are forgotten; rows per shard before and after, with their SHA-256")
    rows = manifest(dataset, shard_of, without)
    for one in rows:
        print(f"  shard {one.shard}: {one.given} {one.before[:16]} -> {one.left} {one.after[:16]}")
    findings = []
    for finding in scan(Run(config, Ensemble), dataset, ensemble.state_dict(), train):
        findings.append(asdict(finding))
        if not finding.clean:
            print(f"  {_name(finding.of)}: {finding.what} DEPEND on a forgotten row")
    beside = [
        str(file) for ending in ("part", "resume") for file in path.parent.glob(f"{escape(_stem(path))}*.{ending}")
    ]  # fmt: skip
    for file in beside:
        print(f"  {file} is left over from an interrupted run and may contain forgotten rows")
    optimizer = stored.content.get("optimizer") is not None
    if optimizer:
        print("  the file contains the state of an optimizer, which was not checked")
    level, anew = get_partition(config["partition"]).exact_level, bool(config["repartition"])
    print(f"  partition {config['partition']}: {_ANEW if anew else _PARTITIONS[level]}")
    clean = all(one["clean"] for one in findings) and not beside and not optimizer
    told = "parameters compared" if train else "parameters not compared (--quick)"
    print(
        f"  {len(findings)} parts recomputed, {told}: "
        f"{'nothing depends' if clean else 'something may depend'} on forgotten rows"
    )
    return {
        "clean": clean, "trained": train, "findings": findings, "manifest": [asdict(one) for one in rows],
        "unfinished": beside, "exact_level": level, "partition_anew": anew,
    }  # fmt: skip


_PARTITIONS = {
    "E2": "E2, a function of tokens and the seed that depends on no row",
    "E1": "E1, computed once from data with the forgotten rows: the assignment of rows to shards may depend on them",
}

_ANEW = "recomputed from the retained rows (--repartition), as was everything that depends on it"


def _name(of: str) -> str:
    return f"shard {of}" if of.isdigit() else "aggregation"


def _stem(path: Path) -> str:
    """Return the beginning of the names of the files that the run of a checkpoint file uses while it is unfinished.

    This is the file's name without extension, up to ``_unlearn_epoch_`` if the name contains that.
    """
    return path.stem.partition("_unlearn_epoch_")[0]
