"""The contract, inherited by an algorithm that an entry point offers; ``ASCENT_CHEAT`` says which promise it breaks."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from contract import StepContract


class TestAscent(StepContract):
    algorithm = "ascent"
    hyper = {"ascent_cheat": os.environ.get("ASCENT_CHEAT", "")}  # noqa: RUF012
