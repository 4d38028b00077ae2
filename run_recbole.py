"""Train, retrain or evaluate a recommender: ``python run_recbole.py --help``."""

import sys

from erase_bench.early import hear_signals

if __name__ == "__main__":
    hear_signals("run_recbole.py")
    from recbole.quick_start.main import train_main

    sys.exit(train_main())
