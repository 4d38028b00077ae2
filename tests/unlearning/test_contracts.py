"""The contract of each unlearning algorithm in this package; every algorithm must have one."""

import numpy as np
import pytest
import test_attribute_contracts as attributes
from asking import ask
from attribute_contract import AttributeContract
from contract import AlgorithmContract, HidingContract, StepContract
from quadratic import PENALTY
from small_worlds import USERS, known, same

from recbole.data.split import TEST
from recbole.unlearning.algorithm import StepAlgorithm
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm, own_names
from recbole.unlearning.request import Requests


class TestScif(StepContract):
    algorithm = "scif"
    hyper = {"scif_iterations": 10, "scif_hessian_samples": 16}  # noqa: RUF012 - for the tests' time
    quadratic = {"damping": lambda n: PENALTY / n}  # noqa: RUF012


class TestKookmin(StepContract):
    algorithm = "kookmin"


class TestFanchuan(StepContract):
    algorithm = "fanchuan"


class TestGif(StepContract):
    algorithm = "gif"
    hyper = {"gif_iterations": 10, "retain_samples_used_for_update": 16}  # noqa: RUF012 - for the tests' time
    quadratic = {"gif_damping": PENALTY / 40, "gif_scale_factor": 40.0, "gif_iterations": 3000}  # noqa: RUF012


class TestCeu(StepContract):
    algorithm = "ceu"
    hyper = {"ceu_cg_iterations": 10, "ceu_hessian_samples": 16}  # noqa: RUF012 - for the tests' time
    quadratic = {"ceu_lambda": lambda n: PENALTY / n}  # noqa: RUF012


class TestIdea(StepContract):
    algorithm = "idea"
    hyper = {"idea_iterations": 10, "idea_hessian_samples": 16}  # noqa: RUF012 - for the tests' time
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


class TestShards(AlgorithmContract):
    algorithm = "shards"
    hyper = {"materialise": "eager"}  # noqa: RUF012

    @pytest.fixture(params=["BPR", "LightGCN", "GRU4Rec", "DNNTSP"])
    def world(self, request, ensembles):
        return ensembles(request.param)

    @pytest.fixture
    def single(self, ensembles):
        return ensembles("BPR", "receraser")

    def test_what_is_forgotten_already_or_was_never_learned_is_skipped(self, single):
        """Rows that are held out for validation are none of these: they had a say in when training stopped."""
        algorithm = self.start(single)
        algorithm.dataset.forget(single.requests[0].rows)
        assert ask(algorithm, single.requests[0].rows, 0).status == "skipped"
        assert ask(algorithm, np.flatnonzero(algorithm.dataset.log.split == TEST)[:3], 1).status == "skipped"
        assert same(known(algorithm.model), known(single.base))

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_people_can_be_forgotten_together(self, single, size):
        """Two of them, first and last, have test rows alone to forget."""
        algorithm = self.start(single)
        test = [np.flatnonzero((single.log.user == user) & (single.log.split == TEST)) for user in (14, 20)]
        rows = [test[0], *(single.requests[at].rows for at in range(len(USERS))), test[1]]
        names = ["14", *single.requests.entities, "20"]
        requests = Requests(
            names, np.concatenate(rows), np.cumsum([0, *map(len, rows)]), np.ones(8, dtype=bool), 0, "sha"
        )
        summary = Pipeline(algorithm, requests, size, show_progress=False).run(lambda *_: None)
        assert (summary["applied"], summary["skipped"], summary["worked"]) == (len(USERS), 2, len(USERS))


def contracts():
    """Return the contracts that pytest finds here and, of algorithms for attributes, in their file, by algorithm."""
    found = [thing for name, thing in [*globals().items(), *vars(attributes).items()] if name.startswith("Test")]
    return {cls.algorithm: cls for cls in found if issubclass(cls, AlgorithmContract | AttributeContract)}


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
