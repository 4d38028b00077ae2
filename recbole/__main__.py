"""Makes ``python -m recbole`` run the command ``erase-bench``."""

import sys

from recbole.quick_start.family import main

if __name__ == "__main__":
    sys.exit(main())
