"""Make a trained recommender forget: ``python unlearn.py --help``."""

import sys

from recbole.quick_start.main import unlearn_main

if __name__ == "__main__":
    sys.exit(unlearn_main())
