"""The contract of each attribute-unlearning algorithm."""

from attribute_contract import AttributeContract, ProtectionContract


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
