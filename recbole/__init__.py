"""ERASE bench: machine unlearning in recommender systems, behind RecBole's public names.

This package contains no code of RecBole. It is called ``recbole`` so that model files, atomic data files, configuration
keys and checkpoints made for RecBole 1.2.1 and for its fork ERASE keep working.
"""

from pathlib import Path

if Path(__file__).with_name("quick_start").joinpath("quick_start.py").exists():  # a core file of RecBole's
    raise ImportError(
        f"RecBole's files are in {Path(__file__).parent} too: RecBole and erase-bench both install a package called "
        "recbole. Use a separate environment, or pip uninstall both and install erase-bench again"
    )

__version__ = "0.1.0"

RESULTS_VERSION = 4
"""Version of the results, stored in checkpoints and records. It is raised when results change by more than rounding.

2: Of its item-by-item gate, Sets2Sets stores only the entries that a training history can read. Its initial values are
drawn differently, and gate entries that only later histories read keep their initial values, also with weight decay.
Kookmin, SEIF, CEU and IDEA draw random numbers only for stored entries.

3: Order, negatives, dropout and augmented views in training are keyed by the example instead of its position in a
batch, so that models with different masks share them. Injected spam rows join batches of genuine rows. Equal scores are
ordered by a hash of user and item, and evaluation rows with scores that are not finite have no metrics.

4: Only unlearning has changed. The gradient of SCIF, GIF, CEU and IDEA takes into account that a forgotten item becomes
a possible negative of the user's other examples (in SCIF, of all negatives where that is cheap). The iterations of CEU
and IDEA on an estimated Hessian stop by SCIF's rule. CEU and IDEA add noise only to the released copy. Defaults have
changed: the damping of SCIF, CEU and IDEA, GIF's scale (determined automatically), IDEA's epsilon (none), Fanchuan's
contrast and repair, SEIF's noise.
"""
