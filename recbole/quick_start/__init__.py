"""What the command lines call: each function reads like a table of contents.

The functions that RecBole has under this name come from :mod:`recbole.doors.quick_start` when they are asked for.
"""

from recbole.utils.on_demand import from_modules

__getattr__ = from_modules(
    __name__,
    dict.fromkeys(
        ("load_data_and_model", "objective_function", "run", "run_recbole", "unlearn_recbole"),
        "recbole.doors.quick_start",
    ),
    {"run_recboles": "the processes of a run are started by run(nproc=...) or by run_recbole.py --nproc"},
)
