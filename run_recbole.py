"""Train, retrain or evaluate a recommender: ``python run_recbole.py --help``."""

import sys

from recbole.quick_start.main import train_main

if __name__ == "__main__":
    sys.exit(train_main())
