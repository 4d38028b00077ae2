"""ERASE bench: machine unlearning in recommender systems, behind RecBole's public names.

This package holds no line of RecBole. It is called ``recbole`` so that model files, atomic data files, configuration
keys and checkpoints made for RecBole 1.2.1 and for its fork ERASE keep working.
"""

from pathlib import Path

if Path(__file__).with_name("quick_start").joinpath("quick_start.py").exists():  # a core file of RecBole's
    raise ImportError(
        f"RecBole's files lie in {Path(__file__).parent} too: it and erase-bench both install a package called "
        "recbole. Use an environment of its own, or pip uninstall both and install erase-bench again"
    )

__version__ = "0.1.0"

RESULTS_VERSION = 4
"""Raised when numbers change by more than rounding; checkpoints and records carry it.

2: Sets2Sets stores of its gate what training reads. Its initial values are other draws, entries of the gate that only
later histories read stay at theirs under weight decay too, and Kookmin, SEIF, CEU and IDEA draw for what is stored.

3: the order, negatives, dropout and views of training are keyed by the example, not by a place in a batch, so that
models of different masks share them; planted rows join the batches of genuine ones; equal scores are ranked by a hash
of person and item, and rows whose scores are no numbers have no metrics.

4: unlearning alone. The gradient of SCIF, GIF, CEU and IDEA knows that a forgotten item becomes a possible negative of
the person's other examples, SCIF's of all negatives where that is cheap; CEU's and IDEA's iterations on an estimated
Hessian end where SCIF's do. CEU's and IDEA's noise is on what is released and in no step. Other defaults: SCIF's, CEU's
and IDEA's damping, GIF's scale (found), IDEA's epsilon (none), Fanchuan's contrast and repair, SEIF's noise.
"""
