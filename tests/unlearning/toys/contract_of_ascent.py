"""The contract, inherited by an algorithm that is one more file; ``ASCENT_CHEAT`` says which promise it breaks."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import recbole.unlearning.algorithms

recbole.unlearning.algorithms.__path__.append(str(Path(__file__).parent))

from contract import AlgorithmContract, worlds  # noqa: E402, F401 - a fixture


class TestAscent(AlgorithmContract):
    algorithm = "ascent"
    hyper = {"ascent_cheat": os.environ.get("ASCENT_CHEAT", "")}  # noqa: RUF012
