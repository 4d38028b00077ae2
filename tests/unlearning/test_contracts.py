"""The contract of each algorithm of this package, and that none is without one."""

import pytest
from contract import AlgorithmContract, HidingContract, StepContract
from quadratic import PENALTY

from recbole.unlearning.algorithm import StepAlgorithm
from recbole.unlearning.registry import get_algorithm, own_names


class TestScif(StepContract):
    algorithm = "scif"
    quadratic = {"damping": lambda n: PENALTY / n}  # noqa: RUF012


class TestKookmin(StepContract):
    algorithm = "kookmin"


class TestFanchuan(StepContract):
    algorithm = "fanchuan"


class TestGif(StepContract):
    algorithm = "gif"
    hyper = {"gif_iterations": 20}  # noqa: RUF012 - for the tests' time
    quadratic = {"gif_damping": PENALTY / 40, "gif_scale_factor": 40.0, "gif_iterations": 3000}  # noqa: RUF012


class TestCeu(StepContract):
    algorithm = "ceu"
    quadratic = {"ceu_lambda": lambda n: PENALTY / n}  # noqa: RUF012


class TestIdea(StepContract):
    algorithm = "idea"
    quadratic = {"idea_damping": lambda n: PENALTY / n}  # noqa: RUF012


class TestSeif(StepContract):
    algorithm = "seif"


class TestExact(AlgorithmContract):
    algorithm = "exact"

    @pytest.fixture(params=["EASE", "ItemKNN", "Pop", "Pop_SBR", "SKNN_SBR", "GTopFreq", "GPTopFreq", "TIFUKNN"])
    def world(self, request, worlds):
        return worlds(request.param)

    @pytest.fixture
    def single(self, worlds):
        return worlds("EASE")


class TestFinetune(StepContract):
    algorithm = "finetune"


class TestNeggrad(StepContract):
    algorithm = "neggrad"


class TestNeggradRepair(StepContract):
    algorithm = "neggrad_repair"


class TestFilter(HidingContract):
    algorithm = "filter"


class TestReset(AlgorithmContract):
    algorithm = "reset"

    @pytest.fixture(params=["BPR", "LightGCN", "NeuMF", "SimRec"])
    def world(self, request, worlds):
        return worlds(request.param)


def contracts():
    """Return the contracts that pytest finds here, by algorithm."""
    found = [thing for name, thing in globals().items() if name.startswith("Test")]
    return {cls.algorithm: cls for cls in found if issubclass(cls, AlgorithmContract)}


def without_contract(names):
    """Return those of the algorithms whose contract is missing, or is less than they must keep."""
    steps = {name for name in names if issubclass(get_algorithm(name), StepAlgorithm)}
    found = contracts()
    weak = {name for name in steps & set(found) if not issubclass(found[name], StepContract)}
    return sorted((set(names) - set(found)) | weak)


def test_every_algorithm_has_a_contract():
    assert without_contract(own_names()) == [], "add a subclass of AlgorithmContract or StepContract here"


def test_one_alone_may_be_applied_and_change_nothing():
    assert [name for name, cls in contracts().items() if issubclass(cls, HidingContract)] == ["filter"]


def test_an_algorithm_without_its_contract_is_noticed(monkeypatch):
    monkeypatch.delitem(globals(), "TestExact")
    monkeypatch.setitem(globals(), "TestSeif", type("TestSeif", (AlgorithmContract,), {"algorithm": "seif"}))
    assert without_contract(own_names()) == ["exact", "seif"]
