"""The contract of each attribute-unlearning algorithm."""

from attribute_contract import AttributeContract, ProtectionContract, people
from small_worlds import known, same

from recbole.unlearning.pipeline import Pipeline


class TestU2u(ProtectionContract):
    algorithm = "u2u"


class TestD2d(ProtectionContract):
    algorithm = "d2d"


class TestPau(ProtectionContract):
    algorithm = "pau"


class TestAdv(AttributeContract):
    algorithm = "adv"
    models = ("BPR", "LightGCN")


class TestMmdTraining(AttributeContract):
    algorithm = "mmd_training"
    hyper = {"mmd_every": 2}  # noqa: RUF012
    models = ("BPR", "LightGCN")


def test_requests_whose_training_runs_out_of_memory_are_diverged(worlds, monkeypatch):
    def penalty(*about):
        raise MemoryError

    world = worlds("LightGCN")
    algorithm = world.start("adv")
    before = known(algorithm.model)
    monkeypatch.setattr(type(algorithm), "penalty", penalty)
    summary = Pipeline(algorithm, people(world), show_progress=False).run(lambda *about: None)
    assert (summary["applied"], summary["diverged"], summary["done"]) == (0, 4, 4)
    assert same(before, known(algorithm.model))
