"""Algorithms are single files, here or in another distribution; their dataclass defines flags and settings."""

import importlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from recbole.unlearning import registry
from recbole.unlearning.algorithm import UnlearningAlgorithm
from recbole.utils import UserError, plugins

ROOT = Path(__file__).parents[2]

TOY = '''
"""Nothing but an example."""

from dataclasses import dataclass, field

from recbole.unlearning.algorithm import HyperParameters, NotApplied, StepAlgorithm


@dataclass(frozen=True)
class ToyHyper(HyperParameters):
    """Of the toy."""

    toy_strength: float = field(default=0.5, metadata={"help": "how hard to forget"})
    toy_rounds: int = field(default=3, metadata={"help": "how often to forget"})
    toy_limit: float | None = field(default=None, metadata={"help": "where to stop"})


class Toy(StepAlgorithm):
    """Forgets nothing."""

    name = "toy"
    Hyper = ToyHyper

    def solve(self, case, observed):
        """Give up."""
        raise NotApplied("diverged", "a toy")


class Clash(Toy):
    """Declares a flag of its own by the name of SCIF's."""

    name = "clash"

    @dataclass(frozen=True)
    class Hyper(HyperParameters):
        """Of the clash."""

        damping: float = field(default=0.5, metadata={"help": "another one"})


UNFINISHED, THING = type("Unfinished", (StepAlgorithm,), {"name": "unfinished"}), 7
'''

SCRIPT = """
import json, sys
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
    "own": registry.own_names(),
    "class": registry.get_algorithm("toy").__name__,
    "hyper": [h.algorithms for h in registry.hyper_parameters() if h.name == "toy_rounds"],
    "max_norm": [h.algorithms for h in registry.hyper_parameters() if h.name == "max_norm"],
    "documented": registry.markdown(),
    "given": values("--unlearning_algorithm toy --toy_strength 2 --toy_rounds=7 --toy_limit 1"),
    "default": values("--unlearning_algorithm toy"),
    "typo": told("--toy_strenght 2"),
}))
"""


def install(folder, **parts):
    """Put a distribution into a folder that is on the path: ``name="module:thing"`` for each algorithm it offers."""
    info = folder / "toys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    lines = [f"[{plugins.ALGORITHMS}]", *(f"{name} = {value}" for name, value in parts.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (folder / "toy.py").write_text(TOY)


@pytest.fixture(scope="module")
def with_toys(tmp_path_factory):
    """A function that runs Python where a distribution with two algorithms, a file each, is installed beside ours."""
    folder = tmp_path_factory.mktemp("toys")
    install(folder, toy="toy:Toy", ascent="ascent:Ascent")
    shutil.copy(ROOT / "tests/unlearning/toys/ascent.py", folder)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}

    def run(*words):
        return subprocess.run(
            [sys.executable, *words], cwd=ROOT, timeout=300, check=False, env=os.environ | own,
            capture_output=True, text=True,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def told(with_toys):
    """What the registry and the command line tell there."""
    done = with_toys("-c", SCRIPT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_one_file_is_enough(told):
    assert "toy" in told["names"] and "ascent" in told["names"]
    assert told["names"][:7] == list(registry.ERASE_ALGORITHMS)
    assert (told["class"], told["hyper"]) == ("Toy", [["toy"]])
    assert "toy" in told["max_norm"][0] and "scif" in told["max_norm"][0]


def test_what_is_documented_is_of_our_own_alone(told):
    assert (told["own"], told["documented"]) == (registry.own_names(), registry.markdown())
    assert "toy" not in told["documented"]


def test_its_flags_are_there_with_their_types_and_defaults(told):
    given = {"unlearning_algorithm": "toy", "toy_strength": 2.0, "toy_rounds": 7, "toy_limit": 1.0}
    assert told["given"] == given
    assert told["default"] == given | {"toy_strength": 0.5, "toy_rounds": 3, "toy_limit": None}
    assert told["typo"].startswith("UserError") and "did you mean 'toy_strength'" in told["typo"]


def test_its_flags_are_in_the_help_of_the_script(with_toys):
    done = with_toys("unlearn.py", "--help")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    for wanted in (
        "hyper-parameters of toy:",
        "--toy_strength STRENGTH how hard to forget (default: 0.5)",
        "--toy_rounds ROUNDS how often to forget (default: 3)",
        "--toy_limit LIMIT where to stop",
        "hyper-parameters of ascent:",
        "--ascent_rate RATE length of the step, in gradients (default: 0.001)",
        ",toy,",
    ):
        assert wanted in text


#: What breaks a promise of the contract, and the test that says so.
CHEATS = {
    "TestLate": "test_the_model_is_as_it_was_whenever_the_time_runs_out",
    "TestUnseeded": "test_a_request_is_applied_and_repeats_to_the_bit",
    "TestDropout": "test_a_request_is_applied_and_repeats_to_the_bit",
    "TestRemembers": "test_a_killed_run_ends_with_the_same_bits",
    "TestLooksBack": "test_what_was_forgotten_before_is_not_looked_at",
    "TestInPlace": "test_max_norm_holds",
}


def test_the_contract_holds_for_one_more_file_and_for_no_cheat(with_toys):
    only = " or ".join(["TestAscent", *(f"({cheat} and {test})" for cheat, test in CHEATS.items())])
    file = "tests/unlearning/toys/contract_of_ascent.py"
    done = with_toys("-m", "pytest", "-p", "no:cacheprovider", file, "-k", only)
    failed = re.findall(r"^FAILED \S+::(\w+)::(\w+)", done.stdout, re.MULTILINE)
    assert done.returncode == 1 and set(failed) == set(CHEATS.items()), done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 30


@pytest.fixture
def offers(tmp_path, monkeypatch):
    """A function that installs one algorithm, ``name = toy:thing``, for this process."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy", raising=False)

    def offer(name, thing):
        install(tmp_path, **{name: f"toy:{thing}"})
        importlib.invalidate_caches()
        registry._others.cache_clear()

    yield offer
    registry._others.cache_clear()


@pytest.mark.parametrize(
    ("name", "thing", "reason"),
    [
        ("toy", "THING", r"erase_bench.algorithms 'toy' \(toy:THING\) must be a subclass of UnlearningAlgorithm"),
        ("toy", "ToyHyper", "must be a subclass of UnlearningAlgorithm"),
        ("unfinished", "UNFINISHED", "must be a subclass of UnlearningAlgorithm with a name and no abstract methods"),
        ("other", "Toy", r"'other' \(toy:Toy\) has the name 'toy': entry point and class must have the same name"),
        ("toy", "Missing", "toys offers .* cannot be imported"),
        ("scif", "Toy", "toys offers .* 'scif', which this package has"),
        ("clash", "Clash", "--damping: algorithms 'clash' and 'scif' declare different types or defaults"),
    ],
)
def test_a_wrong_offer_is_told_in_one_line(offers, name, thing, reason):
    offers(name, thing)
    with pytest.raises(UserError, match=reason) as told:
        registry.hyper_parameters()
    assert "\n" not in str(told.value)


def test_names_that_are_not_there_are_told():
    with pytest.raises(UserError, match="there is no 'sciff', did you mean 'scif'"):
        registry.get_algorithm("sciff")
    assert issubclass(registry.get_algorithm("scif"), UnlearningAlgorithm)


def test_every_hyper_parameter_has_help_and_a_default_of_its_type():
    for one in registry.hyper_parameters():
        assert one.help and one.algorithms
        assert one.default is None or isinstance(one.type(one.default), one.type)
        assert one.type in (int, float, str, bool)


@pytest.mark.parametrize(
    ("algorithm", "given", "told"),
    [
        ("scif", {"damping": "1e-5"}, "--damping should be a number of at most 3.4e38 in size, not '1e-5'"),
        ("scif", {"damping": [1]}, "--damping should be a number"),
        ("scif", {"damping": True}, "--damping should be a number"),
        ("scif", {"damping": 10**400}, "--damping should be a number"),
        ("scif", {"damping": 0}, "--damping: 0.0 is not above 0"),
        ("scif", {"max_norm": "x"}, "--max_norm should be a number"),
        ("finetune", {"finetune_samples": 1.5}, "--finetune_samples should be an integer of at most 64 bits, not 1.5"),
        ("shards", {"repartition": 1}, "--repartition should be True or False"),
        ("u2u", {"protect_view": 3}, "--protect_view should be text"),
    ],
)
def test_hyper_parameters_of_a_wrong_type_are_told(algorithm, given, told):
    with pytest.raises(UserError) as error:
        registry.get_algorithm(algorithm).Hyper(**given)
    assert str(error.value).startswith(told)


def test_numbers_of_another_type_are_converted_where_nothing_is_lost():
    hyper = registry.get_algorithm("finetune").Hyper(finetune_samples=64.0, finetune_rate=1, max_norm=None)
    assert [type(value) for value in (hyper.finetune_samples, hyper.finetune_rate)] == [int, float]


def test_the_documented_flags_are_those_of_the_code():
    text = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
    update = 'python -c "from recbole.unlearning.registry import markdown; print(markdown())"'
    assert registry.markdown() in text, f"put the output of {update} under '## Flags'"
    assert all(f"**{name.upper()}**" in text or f"**{name.title()}**" in text for name in registry.own_names())


def test_an_algorithm_is_a_short_file():
    files = [Path(sys.modules[registry.get_algorithm(name).__module__].__file__) for name in registry.own_names()]
    assert statistics.median(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < 100
    assert len(set(files)) == len(files)
