"""Unlearn interactions from a trained recommender and evaluate the result: ``python unlearn.py --help``."""

import sys

from erase_bench.early import hear_signals

if __name__ == "__main__":
    hear_signals("unlearn.py")
    from recbole.quick_start.main import unlearn_main

    sys.exit(unlearn_main())
