"""The contract for an algorithm from an entry point: the correct version, and versions with one violation each."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from contract import StepContract


class TestAscent(StepContract):
    algorithm = "ascent"


class Cheats(StepContract):
    algorithm = "ascent"


class TestLate(Cheats):
    hyper = {"ascent_cheat": "late"}  # noqa: RUF012


class TestUnseeded(Cheats):
    hyper = {"ascent_cheat": "unseeded"}  # noqa: RUF012


class TestDropout(Cheats):
    hyper = {"ascent_cheat": "dropout"}  # noqa: RUF012


class TestRemembers(Cheats):
    hyper = {"ascent_cheat": "remembers"}  # noqa: RUF012


class TestLooksBack(Cheats):
    hyper = {"ascent_cheat": "looks back"}  # noqa: RUF012


class TestInPlace(Cheats):
    hyper = {"ascent_cheat": "in place"}  # noqa: RUF012
