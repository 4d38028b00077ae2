"""The command-line programs (train, unlearn, make forget sets, report, scan, attack) and the Python interface.

RecBole's functions of this package (``run_recbole``, ...) are imported from :mod:`recbole.doors.quick_start` on first
use.
"""

from recbole.utils.on_demand import from_modules

__getattr__ = from_modules(
    __name__,
    dict.fromkeys(
        ("load_data_and_model", "objective_function", "run", "run_recbole", "unlearn_recbole"),
        "recbole.doors.quick_start",
    ),
    {"run_recboles": "a run of several processes is started by run_recbole.py --nproc N"},
)
