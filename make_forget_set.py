"""Draw forget sets of sensitive interactions, or generate a spam attack: ``python make_forget_set.py --help``."""

import sys

from erase_bench.early import hear_signals

if __name__ == "__main__":
    hear_signals("make_forget_set.py")
    from recbole.quick_start.main import make_forget_set_main

    sys.exit(make_forget_set_main())
