"""Packages that a command imports before it does any work; torch is imported only if something is computed."""

import sys

import pytest
import torch
from tiny_tasks import furnish_clean, inside
from toy_distribution import ROOT, python

import recbole.data
import recbole.evaluator
from recbole.quick_start.main import make_forget_set_main
from recbole.unlearning import registry
from recbole.unlearning.declared import declared
from recbole.utils import init_seed

HEAVY = {"torch", "pandas", "pyarrow", "scipy", "tqdm", "tensorboard", "huggingface_hub"}
"""Packages that take long to import."""

LOADED = """
import runpy, sys
sys.argv = sys.argv[1:]
status = 0
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as ended:
    status = ended.code
print(status, *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""
ERASE_BENCH = "recbole/__main__.py"


def ended(*words, cwd=ROOT):
    """Run a program; return its exit status, the imported distributions, and its output."""
    done = python(ROOT, "-c", LOADED, ROOT / words[0], *words[1:], cwd=cwd)
    *told, last = done.stderr.splitlines()
    status, *loaded = last.split()
    return int(status), set(loaded), "\n".join([done.stdout, *told])


@pytest.mark.parametrize(
    "words",
    [
        *((script, "--help") for script in ("run_recbole.py", "unlearn.py", "make_forget_set.py")),
        *((ERASE_BENCH, program, "--help") for program in ("train", "unlearn", "forget-set", "report", "list")),
        (ERASE_BENCH, "--help"),
        (ERASE_BENCH, "list", "algorithms"),
    ],
)
def test_the_help_imports_no_slow_package(words):
    status, loaded, told = ended(*words)
    assert (status, loaded & HEAVY) == (0, set())
    assert len(told.splitlines()) > 8


@pytest.mark.parametrize(
    "words",
    [
        ("run_recbole.py", "--seed", "x"),
        ("run_recbole.py", "word"),
        ("run_recbole.py", "--learning_rat", "0.1"),
        ("unlearn.py", "--unlearning_algorithm", "sciff"),
        ("unlearn.py", "--ceu_sigmma", "1"),
        ("make_forget_set.py", "--spam"),
        (ERASE_BENCH, "lisst"),
    ],
)
def test_command_line_errors_are_reported_before_torch_is_imported(words):
    status, loaded, told = ended(*words)
    assert (status, loaded & HEAVY) == (2, set()), told


def test_commands_without_tensors_do_not_import_torch(tmp_path):
    status, loaded, told = ended(ERASE_BENCH, "report", tmp_path / "missing.json")
    assert status == 2 and "missing.json" in told
    assert "pandas" in loaded and "torch" not in loaded


RUNS = """
import sys
from recbole.quick_start.main import train_main, unlearn_main
common = ["--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml", "--sensitive_category", "x"]
assert train_main([*common, "--unlearning_fraction", "0.02"]) == 0
print(*sys.modules)
assert unlearn_main([*common, "--unlearning_fraction", "0.02"]) == 0
print(*sys.modules)
"""


def test_a_run_imports_neither_the_compiler_nor_unused_models(tmp_path):
    data, _ = furnish_clean(tmp_path, "CF")
    (data / "sensitive_asins_x.txt").write_text("1\n2\n3\n")
    chosen = ("--sensitive_category", "x", "--unlearning_fraction", "0.02")
    with inside(tmp_path):
        assert make_forget_set_main(["--dataset", "tiny", "--config_files", "tiny.yaml", *chosen]) == 0
    done = python(ROOT, "-c", RUNS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = [set(line.split()) for line in done.stdout.splitlines() if line.startswith("sys ")]
    assert len(loaded) == 2
    unwanted = {"torch._dynamo", "torch._inductor", "sympy", "scipy", "tensorboard", "huggingface_hub", "matplotlib"}
    assert [unwanted & names for names in loaded] == [set(), set()]
    assert "pandas" not in loaded[1]


LOADING = """
import gc, sys
from recbole.utils.start_up import loading
with loading():
    import decimal
    assert not gc.isenabled()
assert gc.isenabled() and not gc.get_freeze_count()
with loading():
    import torch
frozen = gc.get_freeze_count()
assert gc.isenabled() and frozen > 10_000
with loading():
    assert gc.isenabled()
assert gc.get_freeze_count() == frozen
from recbole.utils import init_seed
init_seed(2)
print(*sys.modules)
"""


def test_garbage_collection_is_off_while_torch_is_imported_and_seeding_does_not_import_the_compiler():
    done = python(ROOT, "-c", LOADING)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "torch" in loaded and not loaded & {"torch._dynamo", "torch._inductor", "sympy"}


@pytest.mark.parametrize("before", ["default", "warn", "error"])
@pytest.mark.parametrize(
    ("reproducibility", "device", "mode"), [(True, "cpu", 0), (False, "cuda", 0), (True, "cuda", 1)]
)
def test_deterministic_kernels_are_requested_only_on_a_gpu(before, reproducibility, device, mode, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode(before)
    try:
        init_seed(2, reproducibility, device)
        assert torch.get_deterministic_debug_mode() == mode
        assert torch.are_deterministic_algorithms_enabled() == bool(mode)
    finally:
        init_seed(2, False)


OFFERS = """
import recbole.data, recbole.evaluator
for package in (recbole.data, recbole.evaluator):
    for name in package.__all__:
        assert getattr(package, name).__class__ is not None
    print(package.__name__, len(package.__all__))
"""


def test_lazily_imported_names_exist():
    packages = (recbole.data, recbole.evaluator)
    done = python(ROOT, "-c", OFFERS)
    assert done.stdout.splitlines() == [f"{one.__name__} {len(one.__all__)}" for one in packages], done.stderr
    for package in packages:
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
            package.nothing  # noqa: B018


def of(hyper):
    return [(f.name, f.type, f.default, dict(f.metadata)) for f in hyper.__dataclass_fields__.values()]


def test_hyper_parameters_read_from_source_equal_those_of_the_class():
    for name in registry.own_names():
        found, cls = registry._own()[name], registry.get_algorithm(name)
        assert (found.name, found.load(), found.about) == (cls.name, cls, cls.__doc__.splitlines()[0])
        assert of(found.hyper) == of(cls.Hyper) and found.hyper.__name__ == cls.Hyper.__name__


BY_IMPORT = '''
from dataclasses import dataclass

from recbole.unlearning.hyper import HyperParameters, hyperparameter

RATE = 0.25

@dataclass(frozen=True)
class OddHyper(HyperParameters):
    """Its default is a constant of the file."""

    odd_rate: float = hyperparameter(RATE, "a rate")


class Odd:
    """One.

    More.
    """

    name = "odd"
    Hyper = OddHyper


class Inherits(Odd):
    """Two."""

    name = "inherits"


class Helper:
    """None."""
'''


def test_hyper_parameters_that_cannot_be_read_from_source_are_imported(tmp_path, monkeypatch):
    path = tmp_path / "odd_algorithms.py"
    path.write_text(BY_IMPORT)
    monkeypatch.syspath_prepend(tmp_path)
    found = declared(path, path.stem)
    module = sys.modules.pop(path.stem)
    assert [(one.name, one.about, one.hyper) for one in found] == [
        ("odd", "One.", module.OddHyper),
        ("inherits", "Two.", module.OddHyper),
    ]
