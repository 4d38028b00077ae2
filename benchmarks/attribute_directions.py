r"""In which directions of the user embeddings do attackers find an attribute, before and after attribute unlearning?

    python benchmarks/attribute_directions.py BASE.pth UNLEARNED.pth --attribute gender --first 3 --data_path dataset

For each checkpoint, the embeddings of a view are rotated to their principal components. The script prints the share of
the variance that lies in the first components, and the AUC (protocol ``inside``, gradient-boosted trees, mean over five
seeds) of an attack on all columns of the view, on the first components alone, and on the others alone.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from recbole.audit.attack import AttackSettings
from recbole.audit.audited import Audited, views_of
from recbole.audit.features import Features
from recbole.quick_start.attacks import audited_in
from recbole.quick_start.opened import setup_of, state_of
from recbole.trainer.learn import load
from recbole.trainer.stored import Stored
from recbole.utils.ending import ended

_TREES = AttackSettings(("inside",), ("trees",), choose=False)


def main(argv: list[str] | None = None) -> int:
    """Run the script, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path, help="files of base or unlearned models")
    parser.add_argument("--attribute", default="gender", help="the attribute to infer (default: gender)")
    parser.add_argument("--view", help="the user embeddings (default: the model's first view)")
    parser.add_argument("--first", type=int, default=3, help="number of principal components (default: 3)")
    parser.add_argument("--data_path", help="folder of the data sets (default: the checkpoint's)")
    args = parser.parse_args(argv)
    return ended("attribute_directions.py", lambda: _shown(args))


def _shown(args: argparse.Namespace) -> int:
    for path in args.checkpoints:
        stored = Stored.read(path)
        setup = setup_of(stored, args.data_path, "cpu", forgetting=True)
        state = state_of(setup, stored)
        views = views_of(load(setup, state, stored), state.data, None if args.view is None else [args.view])
        name, features = next(iter(views.items()))
        share, parts = split(features.matrix, args.first)
        found = aucs(audited_in(setup, state, args.attribute), parts)
        print(
            f"{path.name}, {name}: {share:.3f} of the variance in the first {args.first} of {features.matrix.shape[1]}"
        )
        print("  " + ", ".join(f"AUC on {part} {auc:.3f}" for part, auc in found.items()), flush=True)
    return 0


def split(matrix: np.ndarray, first: int) -> tuple[float, dict[str, Features]]:
    """Rotate user embeddings to their principal components, and divide these into the first ones and the others.

    Args:
        matrix: float64 [n_users, d]; row 0 is the padding, which does not take part in the computation.
        first: number of components in the first part.

    Returns:
        The share of the variance in the first components, and a dict from ``all`` (the embeddings as they are),
        ``first`` and ``others`` to the columns.
    """
    centred = matrix - matrix[1:].mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred[1:], full_matrices=False)
    rotated, variance = centred @ directions.T, sizes**2
    parts = {"all": matrix, "first": rotated[:, :first], "others": rotated[:, first:]}
    return float(variance[:first].sum() / variance.sum()), {name: Features(part) for name, part in parts.items()}


def aucs(audited: Audited, parts: dict[str, Features]) -> dict[str, float]:
    """Attack each part with trees, and return part to mean AUC."""
    return {row["view"]: row["value"] for row in audited.rows(parts, _TREES) if row["metric"] == "attack_auc"}


if __name__ == "__main__":
    sys.exit(main())
