"""Draw what is to be forgotten, sensitive interactions or spam: ``python make_forget_set.py --help``."""

import sys

from recbole.quick_start.main import make_forget_set_main

if __name__ == "__main__":
    sys.exit(make_forget_set_main())
