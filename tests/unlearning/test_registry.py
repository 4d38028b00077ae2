"""An algorithm is one file: what its dataclass says is on the command line and in the configuration."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from recbole.unlearning import registry
from recbole.unlearning.algorithm import UnlearningAlgorithm
from recbole.utils import UserError

ROOT = Path(__file__).parents[2]

TOY = '''
"""Nothing but an example."""

from dataclasses import dataclass, field

from recbole.unlearning.algorithm import HyperParameters, NotApplied, UnlearningAlgorithm


@dataclass(frozen=True)
class ToyHyper(HyperParameters):
    """Of the toy."""

    toy_strength: float = field(default=0.5, metadata={"help": "how hard to forget"})
    toy_rounds: int = field(default=3, metadata={"help": "how often to forget"})
    toy_limit: float | None = field(default=None, metadata={"help": "where to stop"})


class Toy(UnlearningAlgorithm):
    """Forgets nothing."""

    name = "toy"
    Hyper = ToyHyper

    def solve(self, change, index, out_of_time):
        """Give up."""
        raise NotApplied("diverged", "a toy")
'''

SCRIPT = """
import json, sys
import recbole.unlearning.algorithms
recbole.unlearning.algorithms.__path__.append(sys.argv.pop(1))  # the same folder, with one file more
from recbole.config import Config
from recbole.quick_start import command_line
from recbole.unlearning import registry

def values(words):
    namespace, overrides = command_line.unlearn_arguments(words.split())
    given = {**command_line.config_values(namespace), **overrides}
    config = Config("BPR", "x", command_line=given, extra_defaults=command_line.declared_defaults(namespace))
    return {name: config[name] for name in ("unlearning_algorithm", "toy_strength", "toy_rounds", "toy_limit")}

def told(words):
    try:
        values(words)
    except Exception as error:
        return f"{type(error).__name__}: {error}"

print(json.dumps({
    "names": registry.algorithm_names(),
    "class": registry.get_algorithm("toy").__name__,
    "hyper": [h.algorithms for h in registry.hyper_parameters() if h.name == "toy_rounds"],
    "max_norm": [h.algorithms for h in registry.hyper_parameters() if h.name == "max_norm"],
    "given": values("--unlearning_algorithm toy --toy_strength 2 --toy_rounds=7 --toy_limit 1"),
    "default": values("--unlearning_algorithm toy"),
    "typo": told("--toy_strenght 2"),
}))
sys.stdout.flush()
command_line.unlearn_arguments(["--help"])
"""


@pytest.fixture(scope="module")
def with_toy(tmp_path_factory):
    """What a process tells that finds one file more in the folder of algorithms."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.py").write_text(TOY)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    first, help_text = done.stdout.split("\n", 1)
    return json.loads(first), help_text


def test_one_file_is_enough(with_toy):
    told, _ = with_toy
    assert told["names"][-1] == "toy" and told["names"][:7] == list(registry.ERASE_ALGORITHMS)
    assert (told["class"], told["hyper"]) == ("Toy", [["toy"]])
    assert "toy" in told["max_norm"][0] and "scif" in told["max_norm"][0]


def test_its_flags_are_there_with_their_types_and_defaults(with_toy):
    told, _ = with_toy
    given = {"unlearning_algorithm": "toy", "toy_strength": 2.0, "toy_rounds": 7, "toy_limit": 1.0}
    assert told["given"] == given
    assert told["default"] == given | {"toy_strength": 0.5, "toy_rounds": 3, "toy_limit": None}
    assert told["typo"].startswith("UserError") and "did you mean 'toy_strength'" in told["typo"]


def test_its_flags_are_in_the_help(with_toy):
    text = " ".join(with_toy[1].split())
    for wanted in (
        "hyper-parameters of toy:",
        "--toy_strength STRENGTH how hard to forget (default: 0.5)",
        "--toy_rounds ROUNDS how often to forget (default: 3)",
        "--toy_limit LIMIT where to stop",
        ",toy}",
    ):
        assert wanted in text


#: What breaks a promise of the contract, and the test that says so.
CHEATS = {
    "late": "test_the_model_is_as_it_was_whenever_the_time_runs_out",
    "unseeded": "test_a_request_is_applied_and_repeats_to_the_bit",
    "dropout": "test_a_request_is_applied_and_repeats_to_the_bit",
    "remembers": "test_a_killed_run_ends_with_the_same_bits",
    "looks back": "test_what_was_forgotten_before_is_not_looked_at",
    "in place": "test_max_norm_holds",
}


@pytest.mark.parametrize("cheat", ["", *CHEATS])
def test_the_contract_holds_for_one_more_file_and_for_no_cheat(cheat):
    file = "tests/unlearning/toys/contract_of_ascent.py"
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
    done = subprocess.run(
        [*words, "-k", CHEATS[cheat]] if cheat else words, cwd=ROOT, timeout=200, check=False,
        env=os.environ | {"ASCENT_CHEAT": cheat, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == (1 if cheat else 0), done.stdout
    assert not cheat or f"FAILED {file}::TestAscent::{CHEATS[cheat]}" in done.stdout


def test_names_that_are_not_there_are_told():
    with pytest.raises(UserError, match="there is no 'sciff', did you mean 'scif'"):
        registry.get_algorithm("sciff")
    assert issubclass(registry.get_algorithm("scif"), UnlearningAlgorithm)


def test_every_hyper_parameter_has_help_and_a_default_of_its_type():
    for one in registry.hyper_parameters():
        assert one.help and one.algorithms
        assert one.default is None or isinstance(one.type(one.default), one.type)
        assert one.type in (int, float, str, bool)


def test_the_documented_flags_are_those_of_the_code():
    text = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
    update = 'python -c "from recbole.unlearning.registry import markdown; print(markdown())"'
    assert registry.markdown() in text, f"put the output of {update} under '## Flags'"
    assert all(f"**{name.upper()}**" in text or f"**{name.title()}**" in text for name in registry.algorithm_names())


def test_an_algorithm_is_a_short_file():
    files = [Path(sys.modules[registry.get_algorithm(name).__module__].__file__) for name in registry.algorithm_names()]
    assert statistics.median(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < 100
    assert len(set(files)) == len(files)
